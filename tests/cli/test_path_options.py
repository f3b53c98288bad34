"""Whatever a path of the command line is, a wrong one ends in one line with exit code 2, and nothing is made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
# Each path that a verb reads, `{p}` in its words; `.yaml` where only a name with that end is a path.
# Others stand for what is there: a file of no format, predictions with labels, an empty directory.
READ = {
    "run --dataset": "run --methods random --dataset {p}.yaml",
    "run --file": "run --file {p}",
    "run --text-tower": "run --methods clip-zeroshot --text-tower {p}",
    "report --also": "report --also {p}",
    "submit --out": "submit random --to new.zip --out {p}",
    "parity CASES": "parity {p}",
    "parity --lists": "parity {empty} --lists {p}",
    "convert OFFICIAL": "convert {p} --method deepmil --out new.safetensors",
    "convert --dataset": "convert {junk} --method deepmil --out new.safetensors --dataset {p}.yaml",
    "eval CHECKPOINT": "eval {p} --dataset demo --method deepmil",
    "eval --dataset": "eval {junk} --dataset {p}.yaml --method deepmil",
    "eval --out": "eval some-run --dataset demo --out {p}",
    "compare CONTESTANTS": "compare {p} {p}",
    "compare --dataset": "compare {csv} {csv} --dataset {p}.yaml",
    "compare --root": "compare {csv} {csv} --dataset msad --root {p}",
    "compare --out": "compare a b --out {p}",
    "score FILE": "score {p}",
    "score --dataset": "score {csv} --dataset {p}.yaml",
    "score --root": "score {csv} --dataset msad --root {p}",
    "verify-submission FILE": "verify-submission {p}",
    "verify-submission --dataset": "verify-submission {csv} --dataset {p}.yaml",
    "verify-submission --root": "verify-submission {csv} --dataset msad --root {p}",
    "data import CARD": "data import {p}.yaml --root {empty}",
    "data import --root": "data import msad --root {p}",
    "data verify CARD": "data verify {p}.yaml",
    "data verify --against": "data verify demo --against {p}",
    "data info CARD": "data info {p}.yaml",
    "data export CARD": "data export {p}.yaml --to new",
    "bench --compare": "bench --compare {p} --compare {p}",
    "bench --dataset": "bench --methods random --dataset {p}.yaml",
    "check-method --text-tower": "check-method clip-zeroshot --text-tower {p}",
    "report --out": "report --out {p}",
    "audit --out": "audit --out {p}",
}
# Each path that a verb writes to; a directory that may be written is none of its errors.
WRITTEN = {
    "run --out": "run --methods random --out {p}",
    "bench --out": "bench --methods random --out {p}",
    "convert --out": "convert {junk} --method deepmil --out {p}",
    "submit --to": "submit random --to {p} --out {empty}",
    "report --publish": "report --publish {p}",
    "parity --record": "parity {empty} --record {p}",
    "check-method --record": "check-method random --record {p}",
}
PREDICTIONS = "video_id,pred,gt\n" + "".join(f"v{i // 20},{i * 7919 % 100 / 100},{i // 20 % 2}\n" for i in range(80))


@pytest.fixture
def place(tmp_path: Path, demo: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    (place / "empty").mkdir(parents=True)
    (place / "junk").write_bytes(b"\xff\xfe\x00 junk \x80")
    (place / "csv").write_text(PREDICTIONS)
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    return place


def missing(place: Path, end: str) -> str:
    return str(place / f"missing{end}")


def directory(place: Path, end: str) -> str:
    (place / f"directory{end}").mkdir()
    return str(place / f"directory{end}")


def junk(place: Path, end: str) -> str:
    """A file, where a directory may be wanted, that is no text and no format."""
    (place / f"file{end}").write_bytes(b"\xff\xfe\x00 junk \x80")
    return str(place / f"file{end}")


def below_a_file(place: Path, end: str) -> str:
    return str(place / "junk" / f"below{end}")


def no_text(place: Path, end: str) -> str:
    return f"{place}/{os.fsdecode(bytes([255]))}{end}"


def nul(place: Path, end: str) -> str:
    return f"{place}/a\0b{end}"


def loop(place: Path, end: str) -> str:
    (place / f"loop{end}").symlink_to(place / f"loop{end}")
    return str(place / f"loop{end}")


def unreadable(place: Path, end: str) -> str:
    """A file that the system does not let anybody read, root neither."""
    path = place / f"unreadable{end}"
    path.symlink_to("/proc/self/mem")
    return str(path)


def told(words: str, path: str, place: Path, harness: Call) -> str:
    """The one line that a command ends in, which has made nothing."""
    made = sorted(place.rglob("*"))
    known = {name: str(place / name) for name in ("empty", "junk", "csv")}
    code, stdout, stderr = harness(*(word.format(p=path, **known) for word in words.split()))
    assert (code, stdout) == (2, ""), stderr
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if not line.startswith(("--executor inline", "measuring "))]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert lines[0].isprintable()
    assert sorted(place.rglob("*")) == made
    return lines[0]


READABLE = [missing, directory, junk, below_a_file, no_text, nul, loop, unreadable]


@pytest.mark.parametrize("kind", READABLE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("option", READ)
def test_a_path_that_cannot_be_read(option: str, kind: Callable[[Path, str], str], place: Path, harness: Call) -> None:
    words = READ[option]
    end = ".yaml" if "{p}.yaml" in words else ""
    told(words.replace("{p}.yaml", "{p}"), kind(place, end), place, harness)


@pytest.mark.parametrize("kind", [below_a_file, nul], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("option", WRITTEN)
def test_a_path_that_cannot_be_written(
    option: str, kind: Callable[[Path, str], str], place: Path, harness: Call
) -> None:
    told(WRITTEN[option], kind(place, ""), place, harness)


def test_a_text_tower_that_the_process_of_a_benchmark_cannot_read(place: Path, harness: Call) -> None:
    (place / "out").mkdir()
    words = f"bench --methods clip-zeroshot --text-tower {{p}} --out {place / 'out'}"
    line = told(words, missing(place, ""), place, harness)
    assert line.endswith("no such directory; give a directory saved by save_pretrained or a hub id")
