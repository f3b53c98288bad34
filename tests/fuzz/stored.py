"""What the harness itself stores, banks, runs, checkpoints and more: with hashes that fit the damage, or none."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from harness.data.bank import Bank, bank_path
from harness.data.card import read_card
from harness.data.cards import find_card
from harness.data.hf import export_bank, import_exported
from harness.data.manifest import MANIFEST, check_manifest, write_manifest
from harness.io import seals
from harness.io.digests import file_digest
from harness.paths import seal_dirs
from harness.records.history import read_history
from harness.records.predictions import Predictions
from harness.records.run_directory import open_run
from harness.records.truth import GroundTruth
from harness.registry import method_class
from harness.runs.checkpoint_loading import load_method
from harness.runs.estimate import Estimates
from harness.runs.method_side import spec_of
from harness.scoring.score import ScoringRequest, score_file
from harness.submissions import bundle
from harness.submissions.judge import judge
from harness.submissions.pack import pack
from harness.tracking.format import params, points, read_run, tags
from harness.tracking.times import times_of
from harness.weights.convert import convert
from tests.data.trees import Tree, ucf_tree
from tests.fuzz.signing import sign, sign_manifest, unsign_checkpoint
from tests.submissions.changes import run_of
from tests.weights.test_official_checkpoints import official

Paths = list[Path]


def quiet(_: str) -> None:
    pass


def imported(root: Path) -> tuple[Tree, Bank]:
    tree = ucf_tree(root / "ucf")
    tree.load()
    return tree, Bank(bank_path(tree.card.name, "clip"))


def finished(root: Path) -> Path:
    """A finished run on an imported set."""
    return run_of(imported(root)[1], root / "runs")


def checkpoint(root: Path) -> Paths:
    save_file(official(), root / "official.safetensors")
    converted = convert([root / "official.safetensors"], "deepmil", None, {}, None, quiet)
    converted.save(root / "model.safetensors")
    return [root / "model.safetensors"]


def evaluated(root: Path) -> object:
    path = root / "model.safetensors"
    unsign_checkpoint(path)
    return load_method([path], find_card("demo"), path.name, quiet, settings={})


def bank_files(root: Path) -> Paths:
    return sorted(imported(root)[1].path.iterdir())


def opened(root: Path) -> object:
    """Opens a bank whose hashes fit what its files hold, or the damage would only ever be a wrong hash."""
    path = bank_path("small-ucf", "clip")
    sign(path / "bank.json")
    bank = Bank(path)
    found = [bank.split("train"), bank.split("test")]
    sums = [float(split.item_features(index).sum()) for split in found for index in range(len(split.items))]
    spec = spec_of(
        "random",
        method_class("random").Config(),
        bank,
        None,
        preset="fast",
        seed=0,
        selection="last",
        device="cpu",
        threads=1,
    )
    return sums, [split.labels for split in found], bank.truth(), bank.excluded, bank.variants, spec.run_id


def exported(root: Path) -> Paths:
    _, bank = imported(root)
    export_bank(bank, root / "exported")
    return sorted(path for path in (root / "exported").rglob("*") if path.is_file())


def reimported(root: Path) -> object:
    sign_manifest(root / "exported")
    return import_exported(root / "exported", read_card(bank_path("small-ucf", "clip") / "card.yaml"))


def record(root: Path) -> Paths:
    directory = finished(root).rename(root / "runs/run")  # its id is another one with every change of the code
    return [directory / name for name in ("run.json", "history.json", "truth.json", "predictions.npz")]


def recorded(root: Path) -> object:
    (directory,) = (root / "runs").iterdir()
    sign(directory / "run.json")
    Estimates(root / "runs")
    run = read_run(directory)
    result, content = run.result, run.content
    open_run(directory).check()
    times = times_of(result, directory)
    sent = points(result, directory, times), params(result), tags(result, content)
    read = *sent, read_history(directory / "history.json")
    return read, Predictions.load(directory / "predictions.npz"), GroundTruth.load(directory / "truth.json")


def predictions(root: Path) -> Paths:
    """A file of another program, without the hash that ours have."""
    with np.load(finished(root) / "predictions.npz") as stored:
        arrays = {name: stored[name] for name in stored.files if name != "digest"}
    np.savez(root / "scores.npz", allow_pickle=False, **arrays)
    return [root / "scores.npz"]


def scored(root: Path) -> object:
    return score_file(ScoringRequest(root / "scores.npz", dataset="small-ucf"))


def seal_files(root: Path) -> Paths:
    (root / "train.npy").write_bytes(bytes(2 * seals.SMALL))
    time.sleep(2 * seals.SETTLED / 1e9)
    seals.holds(root / "train.npy", file_digest(root / "train.npy"))
    return sorted(seal_dirs()[0].iterdir())


def sealed(root: Path) -> object:
    seals._known.clear()
    assert seals.holds(root / "train.npy", file_digest(root / "train.npy"))
    assert not seals.holds(root / "train.npy", "0" * 64)
    return None


def manifest(root: Path) -> Paths:
    (root / "exported").mkdir()
    for name in ("one.json", "two.arrow"):
        (root / "exported" / name).write_bytes(name.encode())
    write_manifest(root / "exported")
    return [root / "exported" / MANIFEST]


def listed(root: Path) -> object:
    return check_manifest(root / "exported", "export it again"), sign(root / "exported" / MANIFEST)


def submission(root: Path) -> Paths:
    pack([finished(root)], root / "submission.zip")
    return [root / "submission.zip"]


def judged(root: Path) -> object:
    return [judge(entry, None) for entry in bundle.read(root / "submission.zip")]
