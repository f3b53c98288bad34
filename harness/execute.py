"""One run from start to finish: compute it, and put the result on disk at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import contract
from harness.checkpoints import Header, save_checkpoint
from harness.code_identity import code_hash
from harness.computation import Tested, Tick, Trial, build, compute
from harness.data.bank import Bank
from harness.data.fitting import scratch_bytes
from harness.data.verify import mean_norm
from harness.errors import Unwritable
from harness.fidelity import fidelity
from harness.files import replacing_directory, unwritable, write_json, write_text
from harness.method import Method, MethodConfig, Size
from harness.metrics.saturation import saturation
from harness.predictions import Predictions
from harness.provenance import provenance
from harness.registry import method_class
from harness.run_directory import write_run
from harness.spec import Cost, RunResult, RunSpec
from harness.text import TextTower

CHECKPOINT = "checkpoint.safetensors"
# Bytes that stay free for logs, the tracking store and the report.
SPARE = 50_000_000


def spec_of(name: str, config: MethodConfig, bank: Bank, text: TextTower | None, **rest: Any) -> RunSpec:
    """Return the spec of a run of method `name`; `rest` are the fields that do not follow from the others."""
    card, features = bank.card, bank.card.features[bank.features_name]
    return RunSpec(
        method=name,
        config=config.model_dump(mode="json"),
        dataset=card.name,
        dataset_hash=card.digest,
        features=bank.features_name,
        feature_hash=bank.content_hash,
        scale=features.scale,
        text_tower=text.name if text else "",
        protocol=card.protocol_words,
        partial=bank.partial,
        code=code_hash(method_class(name)),
        **rest,
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
        try:
            self.workspace.mkdir(parents=True, exist_ok=True)
            with (self.workspace / "log.txt").open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line.rstrip()}\n")
        except OSError as error:
            raise unwritable(self.workspace, error) from error


def execute(job: Job, fresh: bool, say: Callable[[str], None], progress: Tick) -> RunResult:
    """Compute one run and publish its directory; with `fresh`, ignore what an earlier attempt left.

    Raises:
        Diverged: a loss or gradient became NaN or infinite.
        Unwritable: the output directory refused a write; finished runs stay as they are.
    """
    if fresh:
        shutil.rmtree(job.workspace, ignore_errors=True)
    began = time.perf_counter()
    job.log(f"start {job.spec.run_id}")
    spec = job.spec
    method = build(job)
    _check_space(job, method)
    outcome = compute(job, method, job.log, progress)
    tested = outcome.tested
    result = finished(
        spec,
        method,
        job.bank,
        tested,
        outcome.seconds,
        wall_seconds=time.perf_counter() - began,
        selected=outcome.selected,
        directory=str(job.directory),
    )
    for caution in result.cautions:
        say(f"{spec.run_id}: caution: {caution}")
    value = result.metrics.get(tested.truth.primary)
    job.log(f"finished {tested.truth.primary} {'undefined' if value is None else format(value, '.4f')}")
    publish(
        result,
        method,
        tested,
        Header(method=spec.method, config=spec.config, dim=job.task.dim, text_tower=spec.text_tower, run=spec.run_id),
        history={"epochs": outcome.records, "looks": outcome.looks},
        log=(job.workspace / "log.txt").read_text(encoding="utf-8"),
    )
    shutil.rmtree(job.workspace, ignore_errors=True)
    return result


def finished(
    spec: RunSpec,
    method: Method,
    bank: Bank,
    tested: Tested,
    train_seconds: float = 0.0,
    wall_seconds: float = 0.0,
    **facts: Any,
) -> RunResult:
    """Return the result of a run that went through; `facts` are further fields of it."""
    scored, size, seconds = tested.scored, Size.of(method), max(tested.seconds, 1e-9)
    return RunResult.of(
        spec,
        "ok",
        metrics=scored.metrics,
        class_auc=scored.class_auc,
        undefined=list(scored.undefined),
        cautions=_cautions(method, bank, tested.predictions),
        videos=scored.videos,
        frames=scored.frames,
        excluded=list(tested.truth.excluded),
        cost=Cost(
            train_seconds=train_seconds,
            predict_seconds=tested.seconds,
            test_snippets_per_second=len(tested.predictions.scores) / seconds,
            test_frames_per_second=scored.frames / seconds,
            parameters=size.total,
            trainable_parameters=size.trainable,
            wall_seconds=wall_seconds,
        ),
        provenance=provenance() | {"threads": str(spec.threads), "fidelity": fidelity(type(method))},
        **facts,
    )


def _cautions(method: Method, bank: Bank, predictions: Predictions) -> list[str]:
    """A sentence where scores hardly differ, with the usual reason: features of another size than expected."""
    found, card = saturation(predictions.scores), method.card
    if not found:
        return []
    norm = mean_norm(bank.split("test"))
    return [f"{found}; the features' mean norm is {norm:.3g}, {card.name} expects: {card.input_scale}"]


def _check_space(job: Job, method: Method) -> None:
    """Raise `Unwritable` before hours of training rather than after them."""
    weights = sum(tensor.nbytes for tensor in contract.saved_state(method).values())
    # A resume file (weights, two moments of the optimizer, the best weights so far, perhaps a mean) twice while it is
    # replaced, the checkpoint, and predictions of every test snippet and class.
    test = job.bank.split("test")
    copies = 9 + 2 * (method.config.average_last > 0)
    needed = copies * weights + 4 * int(test.offsets[-1]) * (1 + test.classes) + SPARE
    if method.card.training == "gradient":
        needed += scratch_bytes(job.bank.split("train"), contract.sampling(method))
    free = shutil.disk_usage(job.workspace).free
    if free < needed:
        short = f"{free / 1e9:.2f} GB free, the run needs up to {needed / 1e9:.2f} GB"
        raise Unwritable(f"{job.out}: {short}; free space or choose another directory")


def publish(
    result: RunResult, method: Method, tested: Tested, header: Header, history: Mapping[str, Any], log: str
) -> None:
    """Write a finished run to its directory, all of it or nothing.

    Raises:
        Unwritable: the system refused; what lay there stays.
    """
    assert result.spec is not None
    with replacing_directory(Path(result.directory)) as directory:
        tested.predictions.save(directory / "predictions.npz")
        tested.truth.save(directory / "truth.json")
        write_json(directory / "config.json", result.spec.config)
        write_json(directory / "history.json", history)
        if state := method.saved_state():
            save_checkpoint(directory / CHECKPOINT, header, state)
        write_text(directory / "log.txt", log)
        write_run(directory, result)
