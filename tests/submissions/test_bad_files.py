"""What is no submission ends in one line."""

from __future__ import annotations

import io
import json
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.submissions.archive import StoredZip, stored
from tests.submissions.changes import COST, Files, Harness, contents, edit_scores, name_of, write


def _bomb(files: Files, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _named(name: str) -> Callable[[Files, Path], None]:
    return lambda files, path: write(path, {**files, name: b"x"})


def _twice(files: Files, path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("manifest.json", "manifest.json"):
            archive.writestr(name, files[name])


def _link(files: Files, path: Path) -> None:
    entry = zipfile.ZipInfo("manifest.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")


def _overlapping(files: Files, path: Path) -> None:
    """Two directory entries that claim the same bytes."""
    write(path, {"a": bytes(5000), "b": b""})
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()
        second.header_offset, second.file_size, second.compress_size = first.header_offset, 5000, 5000
        second.CRC = first.CRC
        start = archive.start_dir
        directory = io.BytesIO()
        other = zipfile.ZipFile(directory, "w")
        other.filelist, other.NameToInfo, other._didModify = [first, second], {}, True  # type: ignore[attr-defined]
        other.start_dir = 0
        other.close()
    tail = bytearray(directory.getvalue())
    tail[-6:-2] = start.to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:start] + tail)


def _json_file(name: str, text: bytes | Callable[[bytes], bytes]) -> Callable[[Files, Path], None]:
    def make(files: Files, path: Path) -> None:
        full = name_of(files, name)
        write(path, {**files, full: text(files[full]) if callable(text) else text})

    return make


def _scores(edit: Callable[[dict[str, Any]], None]) -> Callable[[Files, Path], None]:
    def make(files: Files, path: Path) -> None:
        edit_scores(files, edit)
        write(path, files)

    return make


def _header(files: Files, path: Path) -> None:
    """Scores whose header promises a terabyte."""
    name = name_of(files, "predictions.npz")
    inner = contents_of(files[name])
    shape = json.loads(inner["scores.npy"].partition(b"'shape': (")[2].partition(b",")[0])
    old, new = f"({shape},), }}".encode(), b"(250000000000,), }"
    padded = old + b" " * (len(new) - len(old))
    assert padded in inner["scores.npy"]
    inner["scores.npy"] = inner["scores.npy"].replace(padded, new)
    stream = io.BytesIO()
    stored(inner, stream)
    write(path, {**files, name: stream.getvalue()})


def contents_of(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({key: value})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda files, path: path.write_bytes(b"no zip"), "not a zip file, or cut off"),
        (lambda files, path: path.write_bytes(path.read_bytes()[:-9]), "not a zip file, or cut off"),
        (lambda files, path: path.unlink(), "cannot be read (No such file or directory)"),
        (_bomb, "is compressed; entries are stored as they are"),
        (_overlapping, "its entries overlap"),
        (_named("../../x"), "entry '../../x' is no plain relative name"),
        (_named("/etc/x"), "entry '/etc/x' is no plain relative name"),
        (_named("runs/"), "entry 'runs/' is no plain relative name"),
        (_named("evil.pkl"), "unknown entry 'evil.pkl'"),
        (_twice, "entry 'manifest.json' is there twice"),
        (_link, "entry 'manifest.json' is no regular file"),
        (lambda files, path: write(path, {"x": b""}), "lacks manifest.json"),
        (_json_file("manifest.json", b"{}"), "manifest.json: field format: Field required"),
        (_json_file("manifest.json", b'{"format": 9}'), "a submission of format 9; this harness reads 1"),
        (_json_file("manifest.json", b"[" * 100_000), "manifest.json: not a readable JSON file"),
        (_json_file("run.json", b'"' + b"x" * (17 << 20) + b'"'), "run.json has 17,825,794 bytes, at most 16,777,216"),
        (_json_file("run.json", lambda b: b.replace(b'"seed"', b'"seeds"', 1)), "run.json: field seed: Field required"),
        (_json_file("run.json", lambda b: b.replace(b'"id"', b'"x":0,"id"', 1)), "run.json: field x: Extra inputs are"),
        (_json_file("run.json", lambda b: b.replace(b'"id"', b'"id":"","id"', 1)), "a field is there twice"),
        (_json_file("run.json", lambda b: b.replace(b'"videos": 3', b'"videos": NaN')), "NaN is no number"),
        (_json_file("run.json", lambda b: b.replace(b'"videos": 3', b'"videos": 1e999')), "not a readable JSON file"),
        (_json_file("run.json", lambda b: b.replace(b'"Abuse": ', b'"Abuse": "nan", "x": ')), "NaN is no number"),
        (_json_file("run.json", lambda b: b.replace(b'"seed": 0', b'"seed": 1' + b"0" * 400)), "is too large a number"),
        (_json_file("run.json", lambda b: b.replace(b'"log": ""', b'"log": ' + b"[" * 60 + b"]" * 60)), "too deeply"),
        (_json_file("run.json", lambda b: b.replace(b'"cost": null', COST)), "field cost.train_seconds: -1 is no such"),
        (
            _json_file("history.json", b'{"epochs": [], "looks": [{"epoch": 1, "step": 1, "value": 1e99}]}'),
            "looks.0.value",
        ),
        (_json_file("run.json", lambda b: b.replace(b'"log": ""', b'"log": "\\ud800"')), "surrogates not allowed"),
        (
            _json_file("history.json", b'{"epochs": [{"epoch": "one"}], "looks": []}'),
            "history.json: field epochs.0.epoch",
        ),
        (_json_file("history.json", b'{"epochs": [], "looks": [], "x": 1}'), "history.json: field x: Extra inputs"),
        (_scores(_set("scores", np.full(18, np.nan, np.float32))), "scores contain NaN or infinity"),
        (_scores(_set("class_probs", np.full((18, 3), np.inf, np.float32))), "class_probs contain NaN or infinity"),
        (_scores(_set("scores", np.zeros(18))), "scores is of type <f8, expected <f4"),
        (_scores(_set("videos", np.array([{}, 1, 2], dtype=object))), "videos is of type |O, expected text"),
        (_scores(_set("scores", np.zeros((18, 1), np.float32))), "scores says its shape is (18, 1)"),
        (_scores(_set("offsets", np.array([0, 2**63 - 1, -(2**63), 18]))), "offsets do not divide 18 scores"),
        (_scores(_set("offsets", np.array([0, 18]))), "offsets do not divide 18 scores among 3 videos"),
        (_scores(_set("alignment", np.array("{}"))), "the alignment is none"),
        (_scores(_set("extra", np.zeros(1))), "unknown array 'extra'"),
        (_scores(lambda arrays: arrays.pop("classes")), "lacks the array classes"),
        (_header, "scores says its shape is (250000000000,), which its 72 bytes are not"),
    ],
)
def test_what_is_no_submission_ends_in_one_line(
    packed: Path, harness: Harness, make: Callable[[Files, Path], None], reason: str
) -> None:
    make(contents(packed), packed)
    code, out, err = harness("verify-submission", str(packed))
    assert (code, out, err.count("\n")) == (2, "", 1), (out, err)
    assert err.startswith(f"error: {packed}")
    assert reason in err


def test_the_writer_makes_what_the_reader_takes() -> None:
    stream = io.BytesIO()
    stored({"b/x": b"2", "a": b"1"}, stream)
    archive = StoredZip(stream, "here")
    assert archive.names == ("a", "b/x")
    assert archive.read("b/x", 1) == b"2"
