"""Bank, run, prediction file, checkpoint, export, text tower: no bit can turn without being noticed."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.bank import SPLITS, Bank
from harness.data.hf import export_bank, import_exported
from harness.errors import HarnessError
from harness.io.digests import digest
from harness.records.predictions import Predictions
from harness.records.run_directory import open_run
from harness.submissions import bundle
from harness.text.loading import load_text_tower
from harness.weights.checkpoints import Header, read_header, save_checkpoint
from harness.weights.readers import read_weights
from tests.data.trees import Tree, ucf_tree
from tests.integrity.flips import survey
from tests.submissions.changes import run_of


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


@pytest.fixture
def bank(tree: Tree) -> Bank:
    return tree.load().bank


def _arrays(**arrays: Any) -> str:
    return digest(*(part for name, array in arrays.items() for part in (name, str(array.dtype), array.tobytes())))


def _of_bank(path: Path) -> object:
    """All that a command can read of a bank."""
    bank = Bank(path)
    bank.check()
    splits = [bank.split(name) for name in SPLITS]
    features = [_arrays(features=np.asarray(split.features), labels=split.labels) for split in splits]
    return bank.info, bank.card, [split.items for split in splits], features, bank.truth()


def _of_predictions(found: Predictions) -> object:
    probs = np.zeros(0) if found.class_probs is None else found.class_probs
    arrays = _arrays(offsets=found.offsets, scores=found.scores, probs=probs)
    return found.videos, found.classes, found.alignment, arrays


def _of_run(directory: Path) -> object:
    run = open_run(directory)
    run.check()
    return run.result, _of_predictions(run.predictions()), run.truth(), run.history()


@pytest.mark.parametrize(
    "name", ["train.npy", "test.npy", "train.json", "test.json", "truth.json", "bank.json", "card.yaml"]
)
def test_a_bank(bank: Bank, name: str) -> None:
    found = survey(bank.path / name, lambda: _of_bank(bank.path), "import the data set again")
    assert found.refused > 100
    assert not found.same


def test_the_remarks_of_an_import(tree: Tree) -> None:
    tree.array("UCFClipFeatures/Abuse/Abuse001_x264__0.npy", np.zeros((6, 4)))  # double precision, which is said
    bank = tree.load().bank
    assert not survey(bank.path / "import.txt", lambda: _of_bank(bank.path), "import the data set again").same


def test_a_generated_set_says_how_it_is_made_again(demo: Bank) -> None:
    file, whole = demo.path / "test.npy", (demo.path / "test.npy").read_bytes()
    try:
        file.write_bytes(whole[:3_000_000] + b"\0\0\0\0" + whole[3_000_004:])
        with pytest.raises(Exception, match=r"test.npy: content changed.*remove the directory.*makes the set again"):
            demo.split("test")
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("name", ["run.json", "predictions.npz", "truth.json", "history.json"])
def test_a_run(bank: Bank, tmp_path: Path, name: str) -> None:
    directory = run_of(bank, tmp_path / "runs")
    found = survey(directory / name, lambda: _of_run(directory), "--rerun")
    assert found.refused > 100
    # The last of 17 digits may be another one for the same number, and 1e-05 may be written 1E-05.
    content = (directory / name).read_bytes()
    assert all(re.fullmatch(rb"[0-9eE]", content[place : place + 1]) for place, _ in found.same)
    assert name == "run.json" or not found.same


def test_a_prediction_file_alone(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    open_run(run_of(bank, tmp_path / "runs")).predictions().save(path)
    found = survey(path, lambda: _of_predictions(Predictions.load(path)), "again", most=3000)
    assert found.refused > 2000
    # What can turn without changing what is read: times, versions, attributes and extra fields of entries.
    assert {place for place, _ in found.same} <= _idle(path)


def _idle(path: Path) -> set[int]:
    """Places of a zip file that say when, by what and with which rights its entries were written."""
    content, idle = path.read_bytes(), set[int]()
    with zipfile.ZipFile(path) as archive:
        entries, start = archive.infolist(), archive.start_dir
    for entry in entries:
        head = entry.header_offset
        # Local header: version, flags, method, time, date, checksum, sizes: the directory's count.
        extra = head + 30 + len(entry.filename)
        idle |= {
            *range(head + 4, head + 26),
            *range(extra, extra + int.from_bytes(content[head + 28 : head + 30], "little")),
        }
        # Directory: versions, flags, time, date; sizes beyond what is there; then disk, attributes.
        idle |= {*range(start + 4, start + 10), *range(start + 12, start + 16)}
        idle |= {*range(start + 20, start + 28), *range(start + 34, start + 42)}
        start += 46 + len(entry.filename) + len(entry.extra) + len(entry.comment)
    # Lengths of the last entry may only point beyond the directory's end, where it is cut.
    last = start - 46 - len(entries[-1].filename)
    idle |= set(range(last + 28, last + 34))
    # End record: numbers of disks and of entries on this one, and the length of a comment.
    return idle | set(range(start + 4, start + 12)) | {start + 20, start + 21}


def test_a_prediction_file_of_another_program_is_read(bank: Bank, tmp_path: Path) -> None:
    own = open_run(run_of(bank, tmp_path / "runs")).directory / "predictions.npz"
    with np.load(own) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "digest"}
    np.savez(tmp_path / "other.npz", allow_pickle=False, **arrays)
    assert _of_predictions(Predictions.load(tmp_path / "other.npz")) == _of_predictions(Predictions.load(own))


def test_a_checkpoint(tmp_path: Path) -> None:
    path, rng = tmp_path / "checkpoint.safetensors", torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=rng) for name, shape in {"a.weight": (3, 4), "b": (5,)}.items()}
    header = Header(method="deepmil", config={"lr": 1e-4, "sizes": [3, 4]}, dim=4, run="deepmil-demo-s0-last-0123")
    save_checkpoint(path, header, state)

    def read() -> object:
        return read_header(path), {name: _arrays(values=t.numpy()) for name, t in sorted(read_weights(path).items())}

    assert read_header(path) == header
    found = survey(path, read, "again", most=2000)
    assert found.refused > 400
    # The key that the hash itself goes by: header and weights are as they were, and as in a file of an earlier version.
    key = path.read_bytes().index(b'\\"digest\\"')
    assert all(key <= place <= key + 10 or chr(path.read_bytes()[place]) in "eE" for place, _ in found.same)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    text = Header(method="deepmil", config={}, dim=4).model_dump_json(exclude_defaults=True)
    save_file({"a": torch.zeros(2)}, tmp_path / "old.safetensors", metadata={"harness": text})
    assert read_header(tmp_path / "old.safetensors") == Header(method="deepmil", config={}, dim=4)


def test_an_export(bank: Bank, tree: Tree, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    export_bank(bank, exported)
    expected = _of_bank(import_exported(exported, tree.card).path)
    files = sorted(path for path in exported.rglob("*") if path.is_file())
    assert len(files) >= 10

    def read() -> object:
        return _of_bank(import_exported(exported, tree.card).path)

    for path in files:
        assert not survey(path, read, "data export").same
    assert repr(_of_bank(bank.path)) == repr(expected)


def test_a_submission(bank: Bank, tmp_path: Path) -> None:
    from harness.submissions.pack import pack

    path = tmp_path / "s.zip"
    pack([run_of(bank, tmp_path / "runs")], path)

    def read() -> object:
        # Files that are not those of the manifest are no error of the file: the verdict names them.
        entries = bundle.read(path)
        if any(entry.changed for entry in entries):
            raise HarnessError(f"{path}: changed")
        return [(e.id, e.result, _of_predictions(e.predictions), e.history, e.truth) for e in entries]

    found = survey(path, read, "", most=1500)
    assert found.refused > 1000
    assert {place for place, _ in found.same} <= _idle(path)


def test_a_text_tower(tmp_path: Path) -> None:
    from harness.text.embedded import byte_tokenizer

    folder = tmp_path / "tower"
    load_text_tower(None).model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    name = load_text_tower(str(folder)).name
    for file, old, new in (
        ("config.json", b'"layer_norm_eps": 1e-05', b'"layer_norm_eps": 3e-05'),
        ("config.json", b'"quick_gelu"', b'"gelu"      '),
        ("tokenizer.json", b'"a": ', b'"a":  '),
    ):
        whole = (folder / file).read_bytes()
        assert old in whole
        (folder / file).write_bytes(whole.replace(old, new, 1))
        assert load_text_tower(str(folder)).name != name
        (folder / file).write_bytes(whole)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for place in (len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert load_text_tower(str(folder)).name != name
    weights.write_bytes(whole)
    assert load_text_tower(str(folder)).name == name
