"""The side of a run that runs its method: from weights to predictions, left in the run's workspace.

It has no ground truth. The side that started it, `harness.runs.truth_side`, scores what is left here and publishes it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.data.bank import Bank
from harness.errors import Unwritable
from harness.identity.code import code_hash
from harness.io.atomic import unwritable, write_json
from harness.plugin import contract
from harness.plugin.method import Method, MethodConfig, Size
from harness.printable import LINES, printable
from harness.records.log_lines import stamped
from harness.records.predictions import Predictions
from harness.records.result import Selection
from harness.records.run_directory import WEIGHTS
from harness.records.spec import RunSpec
from harness.registry import method_class
from harness.runs.computation import Judge, Tick, Trial, build_method, compute_trial
from harness.runs.retest_computation import retest_trial
from harness.text.tower import TextTower
from harness.training.fitting import scratch_bytes
from harness.weights.checkpoints import Header, save_checkpoint

CHECKPOINT, PREDICTIONS, HISTORY = WEIGHTS, "predictions.npz", "history.json"
# The directory in a run's workspace where these wait for the side that scores.
COMPUTED = "computed"
# Predictions in a run's workspace whose value the other side is asked for.
LOOK = "look.npz"
# Bytes that stay free for logs, the tracking store and the report.
SPARE = 50_000_000


def spec_of(name: str, config: MethodConfig, bank: Bank, text: TextTower | None, **rest: Any) -> RunSpec:
    """Return the spec of a run of method `name`; `rest` are the fields that do not follow from the others."""
    card, features, cls = bank.card, bank.card.features[bank.features_name], method_class(name)
    clicked = cls.card.track == "glance" and rest["selection"] != "given"
    return RunSpec(
        method=name,
        config=config.model_dump(mode="json"),
        dataset=card.name,
        dataset_hash=card.digest,
        features=bank.features_name,
        feature_hash=bank.content_hash,
        scale=features.scale,
        text_tower=text.name if text else "",
        partial=bank.partial,
        code=code_hash(cls),
        track=cls.card.track,
        **{"protocol": card.protocol_of(bank.features_name), "glances": bank.glances_hash if clicked else "", **rest},
    )


@dataclass(frozen=True)
class Job(Trial):
    """One run to compute, whose result goes to a directory below `out`."""

    out: Path

    @property
    def directory(self) -> Path:
        """Where the finished run lies."""
        return self.out / self.spec.run_id

    def log(self, line: str) -> None:
        """Append a line with the time to the run's log."""
        append_log(self.workspace, line)


class Computed(BaseModel):
    """What the computing side says of a run that went through; wall seconds are its own, without any scoring.

    `provenance` is empty where it is that of the side that scores. `started` is in milliseconds since 1970.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: int
    trainable: int
    train_seconds: float
    predict_seconds: float
    wall_seconds: float = 0.0
    selected: Selection | None = None
    provenance: dict[str, str] = {}
    started: int = 0


def now() -> int:
    """The time in milliseconds since 1970."""
    return int(1000 * time.time())


def append_log(workspace: Path, line: str) -> None:
    """Append a line, or a traceback, with the time to the log in a run's workspace; raises Unwritable."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        with (workspace / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(stamped(printable(line.rstrip(), keep=LINES)))
    except OSError as error:
        raise unwritable(workspace, error) from error


def execute_job(job: Job, judge: Judge, fresh: bool, progress: Tick) -> Computed:
    """Compute one run and leave its files in the workspace; with `fresh`, ignore what an earlier attempt left.

    Raises:
        Diverged: a loss or gradient became NaN or infinite.
        Unwritable: the output directory refused a write; finished runs stay as they are.
    """
    if fresh:
        shutil.rmtree(job.workspace, ignore_errors=True)
    began, started = time.perf_counter(), now()
    spec = job.spec
    job.log(f"start {spec.run_id}")
    method = build_method(job)
    _check_space(job, method)
    trains = not spec.source
    outcome = compute_trial(job, method, judge, job.log, progress) if trains else retest_trial(job, method, progress)
    header = Header(
        method=spec.method,
        config=spec.config,
        dim=job.task.dim,
        audio_dim=job.task.audio_dim,
        text_tower=spec.text_tower,
        run=spec.run_id,
        extraction=job.bank.card.features[job.bank.features_name].extraction,
    )
    history = {"epochs": outcome.records, "looks": outcome.looks}
    leave(job.workspace / COMPUTED, method, outcome.tested.predictions, header if trains else None, history)
    size = Size.of(method)
    return Computed(
        selected=outcome.selected,
        parameters=size.total,
        trainable=size.trainable,
        train_seconds=outcome.seconds,
        predict_seconds=outcome.tested.seconds,
        wall_seconds=time.perf_counter() - began,
        started=started,
    )


def leave(
    directory: Path, method: Method, predictions: Predictions, header: Header | None, history: Mapping[str, Any]
) -> None:
    """Write what a run computed to a directory, in place of what lay there; weights only with a `header` of theirs.

    Raises:
        Unwritable: the system refused.
    """
    shutil.rmtree(directory, ignore_errors=True)
    predictions.save(directory / PREDICTIONS)
    write_json(directory / HISTORY, history)
    if header is not None and (state := method.saved_state()):
        save_checkpoint(directory / CHECKPOINT, header, state)


def _check_space(job: Job, method: Method) -> None:
    """Raise `Unwritable` before hours of training rather than after them."""
    weights = sum(tensor.nbytes for tensor in contract.saved_state(method).values())
    # A resume file (weights, two moments of the optimizer, the best weights so far, perhaps a mean) twice while it is
    # replaced, the checkpoint, and predictions of every test snippet and class.
    test = job.bank.split("test")
    copies = 9 + 2 * (method.config.average_last > 0)
    needed = copies * weights + 4 * int(test.offsets[-1]) * (1 + test.classes) + SPARE
    if method.card.training == "gradient" and not job.spec.source:
        needed += scratch_bytes(job.training, contract.sampling(method))
    free = shutil.disk_usage(job.workspace).free
    if free < needed:
        short = f"{free / 1e9:.2f} GB free, the run needs up to {needed / 1e9:.2f} GB"
        raise Unwritable(f"{job.out}: {short}; free space or choose another directory")
