"""Protocols: those that ship, and files of one's own with what can be wrong in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.paths import protocols_dir
from harness.video.protocols import find_protocol, protocol_names, read_protocol
from tests.video.films import film

Call = Callable[..., tuple[int, str, str]]
GOOD: dict[str, Any] = {
    "name": "own",
    "frames": {"snippet": 8},
    "picture": {"resize": "exact", "width": 224, "height": 224},
}
WRONG: dict[str, tuple[Any, str]] = {
    "unknown field": ({**GOOD, "frame": {}}, "field frame is not known, did you mean frames?"),
    "unknown inner field": ({**GOOD, "crops": {"sizes": 3}}, "field crops.sizes is not known, did you mean size?"),
    "no name": ({"frames": {}}, "name"),
    "bad name": ({**GOOD, "name": "Own one"}, "name: expected a-z, 0-9"),
    "take": ({**GOOD, "frames": {"take": "last"}}, "frames.take"),
    "snippet of nothing": ({**GOOD, "frames": {"snippet": 0}}, "frames.snippet"),
    "step without every": ({**GOOD, "frames": {"step": 2}}, "step 2 needs `take: every`"),
    "long step": ({**GOOD, "frames": {"take": "every", "step": 17}}, "longer than a snippet of 16"),
    "no height": ({**GOOD, "picture": {"resize": "exact", "width": 224}}, "takes height and width"),
    "crop larger": ({**GOOD, "crops": {"size": 225}}, "crops of 225 pixels do not fit into a picture of 224"),
    "crop twice": ({**GOOD, "crops": {"order": ["centre", "centre"]}}, "names a crop twice"),
    "unknown crop": ({**GOOD, "crops": {"order": ["middle"]}}, "crops.order"),
    "no spread": ({**GOOD, "normalise": {"std": [1, 1, 0]}}, "std must be above 0"),
    "nan": ({**GOOD, "normalise": {"mean": [0, float("nan"), 0]}}, "normalise.mean"),
    "two channels": ({**GOOD, "normalise": {"mean": [0, 0]}}, "normalise.mean"),
    "dtype": ({**GOOD, "dtype": "float64"}, "dtype"),
    "a list": ([1, 2], "no protocol; expected fields"),
    "a word": ("vadclip", "no protocol; expected fields"),
    "crop of another tower": ({**GOOD, "crops": {"size": 100}}, "write `size: 224` under crops"),
}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("video") / "a.mp4", 3)


def refused(harness: Call, *arguments: str) -> str:
    """The one line that refuses a command."""
    code, stdout, stderr = harness("extract", *arguments)
    assert (code, stdout) == (2, "")
    lines = [line for line in stderr.splitlines() if not line.startswith("image tower: ")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_every_protocol_that_ships_is_whole() -> None:
    assert {"vadclip", "centre-frame", "first-frame", "whole"} <= set(protocol_names())
    for name in protocol_names():
        protocol = find_protocol(name)
        assert protocol.name == name
        assert protocol.title
        assert protocol.source
        assert protocol.tower
        assert read_protocol(protocols_dir() / f"{name}.yaml") == protocol


def test_the_hash_is_of_what_decides_the_rows() -> None:
    protocol = find_protocol("vadclip")
    prose = protocol.model_copy(update={"name": "other", "title": "", "notes": "", "source": "", "tower": ""})
    assert prose.digest == protocol.digest
    digests = {find_protocol(name).digest for name in protocol_names()}
    # PLOVAD's rows are AnomalyCLIP's, and both of IEF-VAD's differ in the tower alone.
    assert len(digests) == len(protocol_names()) - 2


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.replace(" ", "-"))
def test_a_wrong_file_is_one_line(case: str, harness: Call, video: Path, tmp_path: Path) -> None:
    content, expected = WRONG[case]
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    line = refused(harness, str(video), "--protocol", str(path), "--to", str(tmp_path / "out"))
    assert expected in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [", b"!!python/object/apply:os.system [ls]", b""])
def test_what_is_no_yaml_is_one_line(content: bytes, harness: Call, video: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    line = refused(harness, str(video), "--protocol", str(tmp_path / "own.yaml"), "--to", str(tmp_path / "out"))
    assert "own.yaml: " in line


def test_the_nearest_names_are_said(
    harness: Call, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = ("--to", str(tmp_path / "out"))
    assert "did you mean vadclip" in refused(harness, str(video), "--protocol", "vadclp", *out)
    assert "own.yaml: no such protocol file" in refused(harness, str(video), "--protocol", "own.yaml", *out)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(GOOD))
    assert "did you mean ./own.yaml?" in refused(harness, str(video), "--protocol", "own", *out)
    assert harness("extract", str(video), "--protocol", "own.yaml", *out)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--to", ""], "--to"),
        ([], "needs --to"),
        (["--to", "o", "--precision", "fp8"], "--precision 'fp8'"),
        (["--to", "o", "--precision", "fp16"], "only for --device cuda"),
        (["--to", "o", "--device", "tpu"], "cpu or cuda"),
        (["--to", "o", "--jobs", "0"], "--jobs"),
        (["--to", "o", "--image-tower", "./none"], "./none"),
    ],
)
def test_wrong_options_are_one_line(
    arguments: list[str], expected: str, harness: Call, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refused(harness, str(video), *arguments)
