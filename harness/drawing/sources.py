"""What a figure is drawn from: runs by id or directory, and the features that they were tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.data.bank import Split
from harness.data.cards import find_card, open_bank
from harness.detect.scorer import load_scorer
from harness.errors import UserError
from harness.plugin.method import Method
from harness.records.predictions import Predictions
from harness.records.run_directory import RunDirectory, named_run, open_run
from harness.records.truth import GroundTruth


def find_run(word: str, out: Path) -> RunDirectory:
    """Return a finished run, by its directory or its id below `out`; raises UserError if there is none."""
    directory = named_run(word, out)
    if directory is None:
        raise UserError(f"{word}: no run directory, and no run id below {out}; see `harness list runs`")
    run = open_run(directory)
    if run.result.status != "ok":
        raise UserError(f"{directory}: this run {run.result.status}; name a finished one")
    return run


def named_runs(words: Sequence[str], out: Path) -> tuple[list[tuple[str, Predictions]], GroundTruth]:
    """Return names and predictions of runs, and the ground truth that they share.

    Raises:
        UserError: a word names no run, or two runs have different test sets.
    """
    runs = [find_run(word, out) for word in words]
    truth = runs[0].truth()
    for run in runs[1:]:
        other = run.truth()
        if (other.videos, other.classes) != (truth.videos, truth.classes):
            raise UserError(f"{runs[0].result.id} and {run.result.id}: have different test sets; draw them apart")
    methods = [run.result.method for run in runs]
    names = [
        run.result.method if methods.count(run.result.method) == 1 else f"{run.result.method}, seed {run.result.seed}"
        for run in runs
    ]
    several = [name if names.count(name) == 1 else run.result.id for name, run in zip(names, runs, strict=True)]
    return [(name, run.predictions()) for name, run in zip(several, runs, strict=True)], truth


def split_of(word: str, out: Path) -> tuple[RunDirectory, Split]:
    """Return a run and the test features that it was tested on.

    Raises:
        UserError: there is no such run, or its features are not here, or other ones.
    """
    run = find_run(word, out)
    bank = open_bank(find_card(run.result.dataset), run.result.features)
    if run.result.spec is not None and bank.content_hash != run.result.spec.feature_hash:
        raise UserError(f"{run.result.id}: the features {run.result.features} here are not those of the run")
    return run, bank.split("test")


def learned_of(run: RunDirectory, out: Path, text_tower: str | None, say: Callable[[str], None]) -> Method:
    """Return the trained method of a run; raises UserError if it kept no weights."""
    return load_scorer(str(run.directory), out, say, text_tower=text_tower).method
