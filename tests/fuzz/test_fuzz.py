"""Every reader of foreign files against damaged ones.

A few in the suite; HARNESS_FUZZ_SECONDS=3600 goes on for an hour, one damaged file per reader in turns. What a reader
stumbles over is written to `found/` and read again by the suite ever after.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from harness.errors import HarnessError
from tests.fuzz import trial
from tests.fuzz.mutations import damaged
from tests.fuzz.targets import TARGETS, Target
from tests.fuzz.trial import defect, keep, kept

SECONDS = float(os.environ.get("HARNESS_FUZZ_SECONDS", "0"))
SEED = os.environ.get("HARNESS_FUZZ_SEED", "0")
# Damaged files per reader in the suite; slow readers get fewer.
FEW = 12
SLOW = {"text-tower": 2, "hugging-face": 4, "submission": 8}


class Bench:
    """A reader with its valid files, in a directory of its own."""

    def __init__(self, name: str, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.name, self.root, self.target, self.patch = name, root / name, TARGETS[name], patch
        self.marker = root / f"{name}-marker"
        self.root.mkdir()
        patch.setenv("HARNESS_HOME", str(self.root / "home"))
        self.files = {path: path.read_bytes() for path in self.target.make(self.root)}

    def whole(self) -> object:
        """Read the valid files."""
        self.patch.setenv("HARNESS_HOME", str(self.root / "home"))
        return self.target.read(self.root)

    def tried(self, path: Path, content: bytes) -> str | None:
        """Return what is wrong with how the reader takes `content` in the place of a file."""
        self.patch.setenv("HARNESS_HOME", str(self.root / "home"))
        for each, valid in self.files.items():
            each.parent.mkdir(parents=True, exist_ok=True)
            each.write_bytes(content if each == path else valid)
        return defect(self.target, self.root, self.marker)

    def damaged(self, rng: Random, others: list[bytes]) -> str | None:
        """Try one damaged file; return what is wrong, and where the file is kept."""
        path = rng.choice(list(self.files))
        content = damaged(self.files[path], path.suffix, rng, others, self.marker)
        wrong = self.tried(path, content)
        if wrong is None:
            return None
        return f"{keep(self.name, path.relative_to(self.root).as_posix(), content)}\n{wrong}"


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param, tmp_path, monkeypatch)


@pytest.mark.parametrize("bench", TARGETS, indirect=True)
def test_valid_files_are_read_and_damaged_ones_refused_in_one_line(bench: Bench) -> None:
    bench.whole()
    rng, others = Random(f"{bench.name} {SEED}"), [b"{}", b"[1, 2]", b"a,b\n1,2\n", b"PK\x05\x06" + bytes(18)]
    wrong = [bench.damaged(rng, others) for _ in range(SLOW.get(bench.name, FEW))]
    assert not (found := [each for each in wrong if each]), "\n\n".join(found)


@pytest.mark.parametrize(("name", "file", "path"), kept(), ids=lambda value: getattr(value, "name", None))
def test_what_was_found_stays_mended(
    name: str, file: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(name, tmp_path, monkeypatch)
    assert bench.root / file in bench.files
    wrong = bench.tried(bench.root / file, path.read_bytes())
    assert wrong is None, wrong


@pytest.mark.skipif(not SECONDS, reason="set HARNESS_FUZZ_SECONDS=3600")
def test_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benches = [Bench(name, tmp_path, monkeypatch) for name in TARGETS]
    others = [content for bench in benches for content in bench.files.values() if len(content) < 10_000]
    streams = {bench.name: Random(f"{bench.name} {SEED} for long") for bench in benches}
    tries: Counter[str] = Counter()
    wrong: list[str] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for bench in benches:
            # The files of slow readers are taken less often, or the others would wait for them.
            if bench.name in SLOW and streams[bench.name].random() > 0.1:
                continue
            tries[bench.name] += 1
            if found := bench.damaged(streams[bench.name], others):
                wrong.append(found)
                print(found, flush=True)
    print(f"{tries.total()} damaged files, {len(wrong)} defects: {dict(tries)}", flush=True)
    assert not wrong, f"{len(wrong)} defects, kept in tests/fuzz/found"


def test_a_reader_that_stumbles_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the trials are worth."""
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    monkeypatch.setattr(trial, "WAITING", 1.0)
    marker = tmp_path / "marker"

    def wrong(read: Callable[[], object]) -> str | None:
        return defect(Target(lambda _: [], lambda _: read()), tmp_path, marker)

    def refuse(text: str) -> object:
        raise HarnessError(text)

    assert wrong(lambda: refuse("one line")) is None
    assert "not one line" in str(wrong(lambda: refuse("\n")))
    assert "KeyError" in str(wrong(lambda: {}["missing"]))
    assert "MemoryError" in str(wrong(lambda: bytearray(1 << 40)))
    assert "Hung" in str(wrong(lambda: time.sleep(5)))
    assert "Hung" in str(wrong(lambda: [None for _ in itertools.repeat(0)]))
    assert wrong(marker.mkdir) == "code was executed"


def test_an_error_is_printable_text_whatever_it_names() -> None:
    assert str(HarnessError("a\nb\x1b[2J\u202e\ud800c")) == "a b\ufffd[2J\ufffd\ufffdc"
