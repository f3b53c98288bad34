"""A text tower of the hub is named by a commit: the files in the cache must be those of that commit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import huggingface_hub
import pytest

from harness.errors import Damaged
from harness.io.hub import check_cached
from harness.text.tower_files import CHECKED
from tests.integrity.flips import flipped


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in the hub's cache: links from a snapshot to files that are named by their hashes."""
    root = tmp_path / "models--somebody--clip"
    snapshot = root / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    for name, content in {"config.json": b"{}\n", "merges.txt": b"a b\n", "model.safetensors": bytes(5000)}.items():
        small = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        blob = root / "blobs" / (hashlib.sha256(content).hexdigest() if name.startswith("model") else small)
        blob.write_bytes(content)
        (snapshot / name).symlink_to(blob)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(snapshot / "config.json"))
    return snapshot


@pytest.mark.parametrize("name", ["config.json", "merges.txt", "model.safetensors"])
def test_a_changed_file_of_the_cache_is_refused(cache: Path, name: str) -> None:
    check_cached("somebody/clip", "somebody/clip", "main", CHECKED)
    blob = (cache / name).resolve()
    whole = blob.read_bytes()
    for place in range(0, len(whole), 1 + len(whole) // 40):
        blob.write_bytes(flipped(whole, place, place % 8))
        with pytest.raises(Damaged, match=rf"{name} is not what was downloaded; remove .*models--somebody--clip"):
            check_cached("somebody/clip", "somebody/clip", "main", CHECKED)
    blob.write_bytes(whole)
    check_cached("somebody/clip", "somebody/clip", "main", CHECKED)


def test_a_cache_without_links_is_taken_as_it_is(cache: Path) -> None:
    for path in cache.iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content + b" ")
    check_cached("somebody/clip", "somebody/clip", "main", CHECKED)
