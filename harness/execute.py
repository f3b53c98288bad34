"""One run from start to finish: build, train, select, predict, score, and put the result on disk at once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.arithmetic import arithmetic
from harness.checkpoints import Header, save_checkpoint
from harness.data.bank import Bank, Split
from harness.data.fitting import scratch_bytes
from harness.data.sampling import Batches, validation_items
from harness.errors import Unwritable
from harness.fidelity import fidelity
from harness.files import replacing_directory, unwritable, write_json, write_text
from harness.method import Method, MethodConfig, Size, Task
from harness.metrics.frame import roc_auc
from harness.metrics.protocol import Evaluation, evaluate, primary
from harness.predict import predict
from harness.predictions import Predictions
from harness.provenance import code_hash, provenance
from harness.registry import method_class
from harness.seeds import derive
from harness.selection import Evaluate, Selector
from harness.spec import Cost, RunResult, RunSpec
from harness.text import TextTower
from harness.train import EpochRecord, train, training_videos
from harness.truth import GroundTruth

Tick = Callable[[int, int], None]
CHECKPOINT = "checkpoint.safetensors"
# Relative size of the noise that a variant's starting weights are given.
NUDGE = 1e-6
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
        code=code_hash(method_class(name)),
        **rest,
    )


@dataclass(frozen=True)
class Job:
    """Everything one run needs."""

    spec: RunSpec
    cls: type[Method]
    config: MethodConfig
    task: Task
    bank: Bank
    out: Path

    @property
    def directory(self) -> Path:
        """Where the finished run lies."""
        return self.out / self.spec.run_id

    @property
    def workspace(self) -> Path:
        """Where the unfinished run keeps its checkpoint and log."""
        return self.out / ".work" / self.spec.run_id

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
    spec, device = job.spec, job.spec.device
    torch.use_deterministic_algorithms(True, warn_only=True)
    method = build(job)
    _check_space(job, method)
    selector, batches = _selector(job, method)
    with arithmetic(method, device, spec.precision, spec.compiled, spec.fused):
        records, train_seconds = _trained(job, method, selector, batches, progress)
        selected = selector.finish(method, steps=records[-1]["step"] if records else 0)
        tested = measure(method, job.bank, device)
    result = finished(
        spec,
        method,
        tested,
        train_seconds,
        wall_seconds=time.perf_counter() - began,
        selected=selected,
        directory=str(job.directory),
    )
    job.log(f"finished {tested.truth.primary} {tested.scored.metrics[tested.truth.primary]:.4f}")
    publish(
        result,
        method,
        tested,
        Header(method=spec.method, config=spec.config, dim=job.task.dim, text_tower=spec.text_tower, run=spec.run_id),
        history={"epochs": records, "looks": selector.history},
        log=(job.workspace / "log.txt").read_text(encoding="utf-8"),
    )
    shutil.rmtree(job.workspace, ignore_errors=True)
    return result


@dataclass(frozen=True)
class Tested:
    """A pass over the test set; `seconds` are those of the forward passes."""

    predictions: Predictions
    truth: GroundTruth
    scored: Evaluation
    seconds: float


def measure(method: Method, bank: Bank, device: str, progress: Tick = lambda done, total: None) -> Tested:
    """Predict the test split and score it."""
    predictions, seconds = predict(method.to(device), bank.split("test"), bank.card.alignment, device, progress)
    truth = bank.truth()
    return Tested(predictions, truth, evaluate(predictions, truth), seconds)


def finished(
    spec: RunSpec,
    method: Method,
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


def _trained(
    job: Job, method: Method, selector: Selector, batches: Batches | None, progress: Tick
) -> tuple[list[EpochRecord], float]:
    """Train as the method asks for; return the epochs of a training by gradient, and the seconds."""
    if batches is not None:
        method.prepare(training_videos(batches.split, batches.items))
        records = train(method, batches, selector, job.spec.device, job.workspace / "resume.pt", progress)
        for record in records:
            job.log(f"epoch {record['epoch']} step {record['step']} loss {record['loss']:.6g}")
        return records, sum(record["seconds"] for record in records)
    start = time.perf_counter()
    if method.card.training == "closed-form":
        split = job.bank.split("train")
        method.fit(training_videos(split, np.arange(len(split.items))))
    return [], time.perf_counter() - start


def _check_space(job: Job, method: Method) -> None:
    """Raise `Unwritable` before hours of training rather than after them."""
    weights = sum(tensor.nbytes for tensor in method.saved_state().values())
    # A resume file (weights, two moments of the optimizer, the best weights so far, perhaps a mean) twice while it is
    # replaced, the checkpoint, and predictions of every test snippet and class.
    test = job.bank.split("test")
    copies = 9 + 2 * (method.config.average_last > 0)
    needed = copies * weights + 4 * int(test.offsets[-1]) * (1 + test.classes) + SPARE
    if method.card.training == "gradient":
        needed += scratch_bytes(job.bank.split("train"), method.sampling())
    free = shutil.disk_usage(job.workspace).free
    if free < needed:
        short = f"{free / 1e9:.2f} GB free, the run needs up to {needed / 1e9:.2f} GB"
        raise Unwritable(f"{job.out}: {short}; free space or choose another directory")


def build(job: Job) -> Method:
    """Return the method with the weights that (seed, data set) give; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(job.spec.seed, job.spec.dataset, "init"))
        method = job.cls(job.config, job.task)
    if job.spec.nudge:
        _nudge(method, derive(job.spec.seed, job.spec.dataset, "noise", "nudge", job.spec.nudge))
    return method


@torch.no_grad()
def _nudge(method: Method, seed: int) -> None:
    """Move every trained weight by a millionth of itself, as another order of sums might have by the second step."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in method.parameters():
        if parameter.requires_grad:
            parameter.mul_(1 + NUDGE * torch.randn(parameter.shape, generator=generator))


def _selector(job: Job, method: Method) -> tuple[Selector, Batches | None]:
    spec = job.spec
    if method.card.training != "gradient":
        return Selector("last", method.looks(), None, ""), None
    training = job.bank.split("train")
    items = np.arange(len(training.items))
    evaluation: Evaluate | None = None
    criterion = ""
    if spec.selection == "val":
        mask = validation_items(training, spec.seed, spec.dataset)
        items, held_out = items[~mask], training.subset(mask)
        evaluation, criterion = _video_auc(job, held_out), "validation video_auc"
    elif spec.selection in ("oracle", "paper"):
        evaluation, criterion = _test_metric(job), f"test {job.bank.card.protocol.primary}"
    batches = Batches(training, items, method.sampling(), spec.seed, spec.dataset, job.workspace / "fitted.f32")
    return Selector(spec.selection, method.looks(), evaluation, criterion), batches


def _test_metric(job: Job) -> Evaluate:
    """The test set's primary metric; the rules `oracle` and `paper` say on the label that they use it."""
    test, truth = job.bank.split("test"), job.bank.truth()
    return lambda method: primary(predict(method, test, truth.alignment, job.spec.device)[0], truth)


def _video_auc(job: Job, held_out: Split) -> Evaluate:
    """Video-level AUC of held-out training videos, by their weak labels; a video scores its highest snippet."""
    abnormal = {item.video: bool(set(item.labels) - {0}) for item in held_out.items}

    def value(method: Method) -> float:
        predictions, _ = predict(method, held_out, job.bank.card.alignment, job.spec.device)
        scores = np.array([predictions.scores[predictions.rows(i)].max() for i in range(len(predictions.videos))])
        positive = np.array([abnormal[video] for video in predictions.videos], dtype=np.int64)
        auc = roc_auc(scores.astype(np.float64), positive, 1 - positive)
        return 0.5 if auc is None else auc

    return value


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
        write_json(directory / "run.json", result.model_dump(mode="json"))
