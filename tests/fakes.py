"""Finished run directories without any training, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.io.atomic import write_json
from harness.metrics.protocol import evaluate
from harness.records.alignment import Alignment
from harness.records.benchmark import Bench
from harness.records.predictions import Predictions
from harness.records.result import Cost, DataFacts, RunResult, Selection
from harness.records.spec import RunSpec
from harness.records.truth import Event, GroundTruth, VideoTruth
from harness.tracking.benchmarks import Benchmark

ALIGNMENT = Alignment(kind="stride", stride=16)
STARTED = 1_750_000_000_000
CLASSES = ("Normal", "Fight", "Road Accident")
METRICS = (
    *("frame_auc", "frame_ap", "frame_pr_auc_trapezoid", "abnormal_auc", "abnormal_ap", "video_auc", "macro_auc"),
    *(f"map@0.{i}" for i in range(1, 6)),
    *("map_avg", "false_alarm_rate"),
)


def fake_truth(dataset: str, classes: tuple[str, ...] = CLASSES, excluded: tuple[str, ...] = ()) -> GroundTruth:
    """Twelve videos, four of each class; abnormal ones hold one event."""
    videos = {}
    for index in range(12):
        label, frames = index % len(classes), 400 + 37 * index
        events = (Event(frames // 3, frames // 2, label),) if label else ()
        videos[f"video_{index:02d}"] = VideoTruth(frames, (label,), events)
    return GroundTruth(dataset, classes, ALIGNMENT, videos, excluded=excluded)


def fake_predictions(truth: GroundTruth, seed: int, method: str = "", classify: bool = False) -> Predictions:
    """Scores that follow the truth, with noise drawn from `seed` and `method`; random class probabilities if asked."""
    rng = np.random.default_rng([seed, *method.encode()])
    noise = rng.uniform(0.2, 0.4)
    parts = []
    for video in truth.videos.values():
        snippets = -(-video.frames // 16)
        centre = np.minimum(np.arange(snippets) * 16 + 8, video.frames - 1)
        parts.append(np.clip(0.2 + 0.5 * video.mask()[centre] + rng.normal(0, noise, snippets), 0, 1))
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    scores = np.concatenate(parts).astype(np.float32)
    probs = rng.dirichlet(np.ones(len(truth.classes)), len(scores)).astype(np.float32) if classify else None
    return Predictions(tuple(truth.videos), offsets, scores, truth.alignment, truth.classes, probs)


def fake_result(
    *,
    method: str = "alpha",
    dataset: str = "toy",
    seed: int = 0,
    selection: Any = "last",
    config: dict[str, Any] | None = None,
    excluded: tuple[str, ...] = (),
    classes: tuple[str, ...] = CLASSES,
    **changes: Any,
) -> RunResult:
    """A run's result with metrics drawn from its method and seed; `changes` go into the spec."""
    spec = RunSpec(
        **{
            "method": method,
            "config": config or {"lr": 1e-4, "layers": {"depth": 2}},
            "preset": "fast",
            "dataset": dataset,
            "dataset_hash": "d" * 64,
            "features": "clip",
            "feature_hash": "f" * 64,
            "scale": 1.0,
            "text_tower": "",
            "seed": seed,
            "selection": selection,
            "device": "cpu",
            "threads": 1,
            "protocol": "p" * 64,
            "code": "c" * 64,
            **changes,
        }
    )
    rng = np.random.default_rng([seed, *method.encode(), *selection.encode()])
    looked = selection in ("oracle", "paper")
    chosen = Selection(rule=selection, criterion="frame_auc", step=11, steps=24, looks=2 if looked else 0)
    return RunResult(
        id=spec.run_id,
        method=method,
        dataset=dataset,
        features=spec.features,
        seed=seed,
        selection=selection,
        status="ok",
        metrics={name: float(rng.uniform(0.6, 0.9)) for name in METRICS},
        class_auc={name: float(rng.uniform(0.6, 0.9)) for name in classes[1:]},
        videos=12,
        frames=7242,
        excluded=list(excluded),
        selected=chosen.model_copy(update={"gap": 0.01 + 0.01 * seed} if looked else {}),
        cost=Cost(
            train_seconds=float(rng.uniform(10, 99)),
            predict_seconds=0.5,
            test_snippets_per_second=1000.0,
            test_frames_per_second=16000.0,
            parameters=1234567,
            trainable_parameters=1234000,
        ),
        spec=spec,
        data=DataFacts(
            source=f"https://example.org/{dataset}",
            **{"dim": 16, "train_videos": 24, "train_snippets": 900, "test_videos": 12, "test_snippets": 453},
        ),
        started=STARTED + 1000 * (seed % 1000),
        ended=STARTED + 1000 * (seed % 1000) + 60_000,
        provenance={
            "git_commit": "0" * 40,
            "git_dirty": "false",
            "torch": "2.13.0",
            "cpu": "Test CPU",
            "checked": "passed",
        },
    )


def fake_run(out: Path, *, classes: tuple[str, ...] = CLASSES, classify: bool = False, **fields: Any) -> RunResult:
    """Write one finished run directory below `out` and return its result; metrics fit the predictions.

    Without `classify` there are no class probabilities, and mAP is made up.
    """
    result = fake_result(classes=classes, **fields)
    directory = out / result.id
    truth = fake_truth(result.dataset, classes, tuple(result.excluded))
    truth.save(directory / "truth.json")
    predictions = fake_predictions(truth, result.seed, result.method, classify)
    predictions.save(directory / "predictions.npz")
    found = evaluate(predictions, truth)
    result = result.model_copy(
        update={"metrics": {**result.metrics, **found.metrics}, "class_auc": {**result.class_auc, **found.class_auc}}
    )
    assert result.spec is not None
    write_json(directory / "config.json", result.spec.config)
    epochs = [
        {
            "epoch": e,
            "step": 12 * e,
            "loss": 2.0 / e,
            "terms": {"mil": 1.5 / e, "smooth": 0.5 / e},
            "lr": [1e-4],
            "seconds": 3.2,
        }
        for e in range(1, 31)
    ]
    write_json(directory / "history.json", {"epochs": epochs, "looks": [{"epoch": 1, "step": 11, "value": 0.8}]})
    (directory / "log.txt").write_text("trained\n")
    write_json(directory / "run.json", result.model_dump())
    return result


def fake_bench(method: str = "alpha", frames: float = 1e6, **changes: Any) -> Bench:
    """The figures of a method that reads so many frames per second; `changes` are fields of the record."""
    return Bench(
        **{
            "method": method,
            "preset": "fast",
            "device": "cpu",
            "threads": 1,
            "dim": 512,
            "frames_per_second": frames,
            "snippets_per_second": frames / 16,
            "spread": 0.01,
            "best_batch": 8,
            "best_frames_per_second": 1.7 * frames,
            "latency_ms": {"p50": 4e5 / frames, "p95": 5e5 / frames, "p99": 6.125e5 / frames},
            "long_latency_ms": {"p50": 2.2e7 / frames, "p95": 2.5e7 / frames, "p99": 2.75e7 / frames},
            "reading": "window",
            "streaming_ms": 3.3e5 / frames,
            "peak_memory_mb": 12.34,
            "parameters": 1234567,
            "trainable_parameters": 1234000,
            "flops": 987654321,
            "growth": {64 * 2**power: 64 * 2.2**power / frames for power in range(5)},
            "exponent": 1.1375,
            "step_seconds": 0.125,
            "training_steps": 6000,
            "full_training_hours": 0.208,
            **changes,
        }
    )


def fake_benchmark(
    figures: Bench, started: int = 0, processor: str = "Test CPU", gpu: str = "", **changes: Any
) -> Benchmark:
    """Figures as a store has them, of the data set "toy"; `changes` are fields of the record."""
    machine = {"processor": processor, "gpu": gpu, "cores": "2", "torch": "2.13.0", "harness": "0.1.0"}
    facts = {"dataset": "toy", "features": "clip", "time": f"20261129-0000{started:02d}", **changes}
    return Benchmark(figures, machine, started=started, **facts)
