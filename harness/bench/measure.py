"""One method's row of the throughput leaderboard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.bench.roofline import counted, measured_machine, pass_work, step_work
from harness.bench.subject import Subject
from harness.bench.timing import Timing, timed
from harness.check.process import peak_growth
from harness.data.card import DatasetCard
from harness.plugin import contract
from harness.plugin.method import Size
from harness.records.benchmark import Bench
from harness.records.spec import Precision
from harness.registry import changed_settings
from harness.training.arithmetic import arithmetic

# Snippets of a video of the throughput measurement, and of a batch at most.
VIDEO, LARGEST_BATCH = 256, 8192
SECONDS = (10, 600)
LENGTHS = tuple(64 * 2**power for power in range(10))
# Points of the fitted exponent: at short lengths fixed costs hide how the cost grows.
FITTED = 4


@dataclass(frozen=True)
class BenchPlan:
    """What is measured. `budget` bounds the seconds of one measurement of a method; there are about twenty.

    The last `audio_dim` of the `dim` channels are of the sound.
    """

    card: DatasetCard
    dim: int
    audio_dim: int = 0
    preset: str = "paper"
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_tower: str | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    budget: float = 2.0
    training: bool = True


def bench_method(name: str, plan: BenchPlan) -> Bench:
    """Measure one method.

    Raises:
        Unsupported: it cannot run on the features.
        UserError: a setting is wrong.
    """
    overrides = plan.overrides.get(name, {})
    subject = Subject(name, plan.card, plan.dim, plan.preset, overrides, plan.text_tower, plan.device, plan.audio_dim)
    if subject.method.card.training == "closed-form":
        subject.fit()
    with arithmetic(subject.method, plan.device, plan.precision):
        return _measured(name, subject, plan)


def _measured(name: str, subject: Subject, plan: BenchPlan) -> Bench:
    stride = plan.card.alignment.stride
    one = _pass(subject, 1, plan)
    best_batch, best = 1, one.median
    for batch in _batches():
        timing = _pass(subject, batch, plan)
        if timing.median / batch < best:
            best_batch, best = batch, timing.median / batch
        if timing.median > plan.budget:
            break
    fps = plan.card.fps or 30
    short, long = (max(round(seconds * fps / stride), 1) for seconds in SECONDS)
    growth = _growth(subject, plan)
    step, steps = _training(subject, plan) if plan.training else (None, None)
    reached = measured_machine(plan.device, plan.precision, plan.budget / 4)
    several = subject.features(best_batch, VIDEO)
    size = Size.of(subject.method)
    return Bench(
        method=name,
        preset=plan.preset,
        text_tower=subject.tower,
        device=plan.device,
        precision=plan.precision,
        threads=torch.get_num_threads(),
        dim=plan.dim,
        settings=changed_settings(
            name, plan.card.settings_family, plan.preset, subject.method.config.model_dump(mode="json")
        ),
        frames_per_second=VIDEO * stride / one.median,
        snippets_per_second=VIDEO / one.median,
        spread=one.spread,
        best_batch=best_batch,
        best_frames_per_second=VIDEO * stride / best,
        latency_ms=_latency(subject, short, plan),
        long_latency_ms=_latency(subject, long, plan),
        reading=contract.reading(subject.method).kind,
        streaming_ms=_streaming(subject, plan, long),
        peak_memory_mb=_memory(subject, long),
        parameters=size.total,
        trainable_parameters=size.trainable,
        flops=_flops(subject),
        growth=growth,
        exponent=_exponent(growth),
        step_seconds=step,
        training_steps=steps,
        full_training_hours=step * steps / 3600 if step is not None and steps is not None else None,
        pass_roofline=pass_work(subject.method, lambda: subject.read(several), several).on(reached, best * best_batch),
        step_roofline=None if step is None else step_work(*subject.step()).on(reached, step),
    )


def _batches() -> list[int]:
    return [2**power for power in range(1, 12) if 2**power * VIDEO <= LARGEST_BATCH]


def _pass(subject: Subject, batch: int, plan: BenchPlan) -> Timing:
    videos = subject.features(batch, VIDEO)
    return timed(lambda: subject.read(videos), plan.device, least=5, budget=plan.budget)


def _latency(subject: Subject, snippets: int, plan: BenchPlan) -> dict[str, float]:
    video = subject.features(1, snippets)
    timing = timed(lambda: subject.read(video), plan.device, least=20, budget=2 * plan.budget)
    return {f"p{share}": 1000 * timing.percentile(share / 100) for share in (50, 95, 99)}


def _streaming(subject: Subject, plan: BenchPlan, most: int) -> float:
    """Milliseconds for the score of one more snippet, `most` snippets into a video."""
    reading = contract.reading(subject.method)
    needed = 1 if reading.online and _alone(subject) else reading.window or most
    seen = subject.features(1, needed)
    least = 50 if needed == 1 else 5
    return 1000 * timed(lambda: subject.read(seen), plan.device, least=least, budget=plan.budget).median


def _alone(subject: Subject) -> bool:
    """Whether a snippet's score is the same alone and within its video."""
    video = subject.features(1, 16)
    whole = subject.read(video)[0]
    alone = torch.cat([subject.read(video[:, index : index + 1])[0] for index in range(16)])
    return torch.allclose(whole, alone, rtol=1e-5, atol=1e-6)


def _memory(subject: Subject, snippets: int) -> float | None:
    """Megabytes that reading a 10-minute video takes beyond the method itself."""
    video = subject.features(1, snippets)
    if subject.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        subject.read(video)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with peak_growth() as growth:
        subject.read(video)
        grown = growth()
    return None if grown is None else grown / 1e6


def _flops(subject: Subject) -> int:
    video = subject.features(1, VIDEO)
    return counted(lambda: subject.read(video))[1]


def _growth(subject: Subject, plan: BenchPlan) -> dict[int, float]:
    """Seconds by length; lengths beyond the budget are left out."""
    found: dict[int, float] = {}
    for snippets in LENGTHS:
        read = partial(subject.read, subject.features(1, snippets))
        found[snippets] = timed(read, plan.device, least=3, budget=plan.budget / 2).median
        # Twice the length may take four times as long.
        if found[snippets] > 4 * plan.budget:
            break
    return found


def _exponent(growth: dict[int, float]) -> float | None:
    """The power of the length with which the seconds grow, over the longest videos."""
    lengths, seconds = (np.log(list(values)[-FITTED:]) for values in (growth, growth.values()))
    return float(np.polyfit(lengths, seconds, 1)[0]) if len(lengths) == FITTED else None


def _training(subject: Subject, plan: BenchPlan) -> tuple[float | None, int | None]:
    """Seconds of a step and number of steps in a full training.

    The first step is left out however long it takes: it also pays for the memory that the others find there.
    """
    if subject.method.card.training != "gradient":
        return None, None
    schedule = subject.training_plan()
    (first,) = subject.train(1)
    seconds = subject.train(1) if first > 5 * plan.budget else subject.train(5)[1:]
    return float(np.median(seconds)), schedule.epochs * schedule.steps_per_epoch


def machine() -> dict[str, str]:
    """What the figures depend on besides the code."""
    from harness.runs.provenance import provenance

    facts = provenance()
    kept = ("processor", "gpu", "platform", "python", "torch", "threads", "git_commit", "git_dirty", "harness")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {**{name: facts.get(name, "") for name in kept}, "cores": str(cores)}
