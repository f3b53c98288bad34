"""One run from start to finish: build, train, select, predict, score, and put the result on disk at once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from harness.data.bank import Bank, Split
from harness.data.sampling import Batches, validation_items
from harness.fidelity import fidelity
from harness.files import replacing, replacing_directory, unwritable, write_json
from harness.method import Method, MethodConfig, Size, Task
from harness.metrics.frame import roc_auc
from harness.metrics.protocol import evaluate, primary
from harness.predict import predict
from harness.predictions import Predictions
from harness.provenance import provenance
from harness.seeds import derive
from harness.selection import Evaluate, Selector
from harness.spec import Cost, RunResult, RunSpec
from harness.train import EpochRecord, train, training_videos

Tick = Callable[[int, int], None]


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
    job.log(f"start {job.spec.run_id}")
    spec, device = job.spec, job.spec.device
    torch.use_deterministic_algorithms(True, warn_only=True)
    method = build(job)
    test = job.bank.split("test")
    alignment = job.bank.card.alignment
    selector, batches = _selector(job, method, test)
    records: list[EpochRecord] = []
    train_seconds = 0.0
    if batches is not None:
        method.prepare(training_videos(batches.split, batches.items))
        records = train(method, batches, selector, device, job.workspace / "resume.pt", progress)
        train_seconds = sum(record["seconds"] for record in records)
        for record in records:
            job.log(f"epoch {record['epoch']} step {record['step']} loss {record['loss']:.6g}")
    elif method.card.training == "closed-form":
        start = time.perf_counter()
        split = job.bank.split("train")
        method.fit(training_videos(split, np.arange(len(split.items))))
        train_seconds = time.perf_counter() - start
    selected = selector.finish(method, steps=records[-1]["step"] if records else 0)
    predictions, predict_seconds = predict(method.to(device), test, alignment, device)
    truth = job.bank.truth()
    scored = evaluate(predictions, truth)
    size = Size.of(method)
    seconds = max(predict_seconds, 1e-9)
    result = RunResult.of(
        spec,
        "ok",
        metrics=scored.metrics,
        class_auc=scored.class_auc,
        videos=scored.videos,
        frames=scored.frames,
        excluded=list(truth.excluded),
        selected=selected,
        cost=Cost(
            train_seconds=train_seconds,
            predict_seconds=predict_seconds,
            test_snippets_per_second=len(predictions.scores) / seconds,
            test_frames_per_second=scored.frames / seconds,
            parameters=size.total,
            trainable_parameters=size.trainable,
        ),
        provenance=provenance() | {"fidelity": fidelity(job.cls)},
        directory=str(job.directory),
    )
    job.log(f"finished {truth.primary} {scored.metrics[truth.primary]:.4f}")
    _publish(job, result, predictions, method, {"epochs": records, "looks": selector.history})
    shutil.rmtree(job.workspace, ignore_errors=True)
    return result


def build(job: Job) -> Method:
    """Return the method with the weights that (seed, data set) give; the global generator is left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(job.spec.seed, job.spec.dataset, "init"))
        return job.cls(job.config, job.task)


def _selector(job: Job, method: Method, test: Split) -> tuple[Selector, Batches | None]:
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
        evaluation, criterion = _test_metric(job, test), f"test {job.bank.card.protocol.primary}"
    batches = Batches(training, items, method.sampling(), spec.seed, spec.dataset)
    return Selector(spec.selection, method.looks(), evaluation, criterion), batches


def _test_metric(job: Job, test: Split) -> Evaluate:
    """The test set's primary metric; the rules `oracle` and `paper` say on the label that they use it."""
    truth = job.bank.truth()
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


def _publish(job: Job, result: RunResult, predictions: Predictions, method: Method, history: object) -> None:
    from safetensors.torch import save_file

    with replacing_directory(job.directory) as directory:
        predictions.save(directory / "predictions.npz")
        job.bank.truth().save(directory / "truth.json")
        write_json(directory / "config.json", job.spec.config)
        write_json(directory / "history.json", history)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in method.saved_state().items()}
        if state:
            # One metadata entry: several are written in an order that changes from process to process.
            metadata = {"harness": json.dumps({"run": job.spec.run_id, "method": job.spec.method}, sort_keys=True)}
            with replacing(directory / "checkpoint.safetensors") as temporary:
                save_file(state, temporary, metadata=metadata)
        shutil.copyfile(job.workspace / "log.txt", directory / "log.txt")
        write_json(directory / "run.json", result.model_dump(mode="json"))
