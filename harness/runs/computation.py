"""What a run computes: seeded weights, training, selection, predictions, metrics.

`compute` is for the side that runs a method. It has no ground truth: where a rule looks at the test set, it asks a
`Judge`. `judge_by` and `score` are for the side that holds the ground truth.

This file and all that it imports is part of every run's identity, see `harness.identity.code`. When a run is computed
and where its result is written is `harness.runs.method_side`'s business, which changes no number.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.data.bank import Bank, Split
from harness.data.card import DatasetCard
from harness.errors import UserError
from harness.metrics.frame import roc_auc
from harness.metrics.protocol import primary
from harness.plugin import contract
from harness.plugin.method import Method, MethodConfig, Task
from harness.records.predictions import Predictions
from harness.records.result import Selection
from harness.records.spec import RunSpec
from harness.records.truth import GroundTruth
from harness.training.arithmetic import arithmetic
from harness.training.disturbances import disturbed_test, disturbed_training
from harness.training.loop import train, training_videos
from harness.training.predict import predict
from harness.training.resume import EpochRecord
from harness.training.sampling import Batches
from harness.training.seeds import derive
from harness.training.selection import Evaluate, Selector
from harness.training.validation import validation_items

if TYPE_CHECKING:
    from harness.text.tower import TextTower

Tick = Callable[[int, int], None]
# The value of predictions of the test set by the data set's primary metric.
Judge = Callable[[Predictions], float]
# Relative size of the noise that a variant's starting weights are given.
NUDGE = 1e-6


@dataclass(frozen=True)
class Trial:
    """Everything one run computes with; `workspace` is a directory for what it puts aside meanwhile.

    `bank` is the one that is tested. `trained_on` is the card of the data set that the task is of, and `weights` the
    checkpoint that is tested again, None where it is trained.
    """

    spec: RunSpec
    cls: type[Method]
    config: MethodConfig
    task: Task
    bank: Bank
    workspace: Path
    trained_on: DatasetCard
    weights: Path | None

    @cached_property
    def training(self) -> Split:
        """The training split, disturbed as the spec says.

        Of an open vocabulary, normal videos and those whose one class is a base class.
        """
        split, spec, names = self.bank.split("train"), self.spec, self.bank.card.class_names
        known = [names.index(name) for name in spec.vocabulary or names[1:]]
        if spec.vocabulary:
            seen = [not any(item.labels) or (len(item.labels) == 1 and item.labels[0] in known) for item in split.items]
            split = split.subset(np.array(seen, dtype=bool))
        return disturbed_training(split, spec.disturbance, spec.seed, spec.dataset, known)

    @cached_property
    def testing(self) -> Split:
        """The test split, disturbed as the spec says."""
        features = self.bank.card.features[self.bank.features_name]
        spec, split = self.spec, self.bank.split("test")
        return disturbed_test(split, spec.disturbance, spec.seed, spec.dataset, features.audio_dim)


@dataclass(frozen=True)
class Tested:
    """A pass over the test set; `seconds` are those of the forward passes."""

    predictions: Predictions
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came out: epochs and seconds of the training, what was looked at and chosen, the pass over the test set."""

    records: list[EpochRecord]
    seconds: float
    looks: list[dict[str, float]]
    selected: Selection | None
    tested: Tested


def settle(threads: int, compiled: bool = False) -> None:
    """Let this process compute as a run does: with `threads` threads and deterministic algorithms."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    if compiled:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:
        # The same, but importing torch's compiler to tell it takes a second; one that a method imports finds it said.
        os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
        torch.set_deterministic_debug_mode("warn")


def task_of(bank: Bank, text: TextTower | None) -> Task:
    """Return what a method may know about a bank's data set."""
    return task_on(bank.card, bank.features_name, text, bool(bank.glances_hash))


def task_on(card: DatasetCard, features: str, text: TextTower | None, glances: bool) -> Task:
    """Return what a method may know about a data set with one of its feature sets; `glances`: it has clicks."""
    spec = card.features[features]
    return Task(card.name, card.class_names, card.prompts, spec.dim, text, spec.audio_dim, glances)


def build_method(trial: Trial) -> Method:
    """Return the method with the weights that (seed, data set) give; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(trial.spec.seed, trial.spec.dataset, "init"))
        method = trial.cls(trial.config, trial.task)
    if trial.spec.nudge:
        _nudge(method, derive(trial.spec.seed, trial.spec.dataset, "noise", "nudge", trial.spec.nudge))
    return method


@torch.no_grad()
def _nudge(method: Method, seed: int) -> None:
    """Move every trained weight by a millionth of itself, as another order of sums might have by the second step."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in method.parameters():
        if parameter.requires_grad:
            parameter.mul_(1 + NUDGE * torch.randn(parameter.shape, generator=generator))


def compute_trial(trial: Trial, method: Method, judge: Judge, log: Callable[[str], None], progress: Tick) -> Outcome:
    """Train the method that `build_method` returned as its card says, choose its weights and predict the test set.

    The rules `oracle` and `paper` ask `judge` for the value of their predictions; no other rule does.

    Raises:
        Diverged: a loss or gradient became NaN or infinite.
        HarnessError: a score is NaN, infinite or of the wrong shape.
        Unwritable: the workspace refused a write.
    """
    spec = trial.spec
    selector, batches = _selector(trial, method, judge)
    with arithmetic(method, spec.device, spec.precision, spec.compiled):
        records, seconds = _trained(trial, method, selector, batches, log, progress)
        selected = selector.finish(method, steps=records[-1]["step"] if records else 0)
        tested = measure(method, trial.bank, spec.device)
    return Outcome(records, seconds, selector.history, selected, tested)


def measure(
    method: Method,
    bank: Bank,
    device: str,
    progress: Tick = lambda done, total: None,
    causal: bool = False,
    split: Split | None = None,
) -> Tested:
    """Predict the test split, or `split` in its place; with `causal` each snippet from what its video showed so far."""
    tested = split or bank.split("test")
    return Tested(*predict(method.to(device), tested, bank.card.alignment, device, progress, causal))


def judge_by(truth: GroundTruth) -> Judge:
    """Return what gives the value of predictions by this ground truth's primary metric."""
    return lambda predictions: primary(predictions, truth)


def _trained(
    trial: Trial,
    method: Method,
    selector: Selector,
    batches: Batches | None,
    log: Callable[[str], None],
    progress: Tick,
) -> tuple[list[EpochRecord], float]:
    """Train as the method asks for; return the epochs of a training by gradient, and the seconds."""
    if batches is not None:
        method.prepare(training_videos(batches.split, batches.items))
        records = train(method, batches, selector, trial.spec.device, trial.workspace / "resume.pt", progress)
        for record in records:
            log(f"epoch {record['epoch']} step {record['step']} loss {record['loss']:.6g}")
        return records, sum(record["seconds"] for record in records)
    start = time.perf_counter()
    if method.card.training == "closed-form":
        split = trial.training
        method.fit(training_videos(split, np.arange(len(split.items))))
    return [], time.perf_counter() - start


def _selector(trial: Trial, method: Method, judge: Judge) -> tuple[Selector, Batches | None]:
    spec = trial.spec
    if method.card.training != "gradient":
        return Selector("last", contract.looks(method), None, ""), None
    training = trial.training
    items = np.arange(len(training.items))
    evaluation: Evaluate | None = None
    criterion = ""
    if spec.selection == "val":
        mask = validation_items(training, spec.seed, spec.dataset)
        items, held_out = items[~mask], training.subset(mask)
        evaluation, criterion = _video_auc(trial, held_out), "validation video_auc"
    elif spec.selection in ("oracle", "paper"):
        evaluation, criterion = _test_metric(trial, judge), f"test {trial.bank.card.protocol.primary}"
    sampling, scratch = contract.sampling(method), trial.workspace / "fitted.f32"
    clicks = method.card.track == "glance"
    batches = Batches(training, items, sampling, spec.seed, spec.dataset, scratch, clicks)
    return Selector(spec.selection, contract.looks(method), evaluation, criterion), batches


def _test_metric(trial: Trial, judge: Judge) -> Evaluate:
    """What the judge says of the test set; the rules `oracle` and `paper` say on the label that they use it."""
    test, alignment = trial.bank.split("test"), trial.bank.card.alignment
    return lambda method: judge(predict(method, test, alignment, trial.spec.device)[0])


def _video_auc(trial: Trial, held_out: Split) -> Evaluate:
    """Video-level AUC of held-out training videos, by their weak labels; a video scores its highest snippet.

    Raises:
        UserError: they are all of one kind, so that there is nothing to choose by.
    """
    abnormal = {item.video: bool(set(item.labels) - {0}) for item in held_out.items}
    if len(set(abnormal.values())) < 2:
        kind = "abnormal" if any(abnormal.values()) else "normal"
        raise UserError(
            f"--selection val: {trial.spec.dataset} has too few training videos to hold out normal and abnormal ones "
            f"({len(abnormal)} held out, all {kind}), so that their AUC is undefined; use --selection last"
        )

    def value(method: Method) -> float:
        predictions, _ = predict(method, held_out, trial.bank.card.alignment, trial.spec.device)
        scores = np.array([predictions.scores[predictions.rows(i)].max() for i in range(len(predictions.videos))])
        positive = np.array([abnormal[video] for video in predictions.videos], dtype=np.int64)
        auc = roc_auc(scores.astype(np.float64), positive, 1 - positive)
        assert auc is not None
        return auc

    return value
