"""The test set at UCF-Crime's size, and how many times faster ours is, at the end of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth, VideoTruth
from tests.metrics.reference import abnormal, normal, scene

VIDEOS, SNIPPETS, CLASSES = 290, 69_634, 14
_LINES = pytest.StashKey[list[str]]()
_PLAIN: dict[str, tuple[Any, float | None]] = {}

TestSet = tuple[Predictions, GroundTruth]


@pytest.fixture(scope="session")
def ucf() -> TestSet:
    """As `generated`; lengths and events are UCF-Crime's where at hand."""
    source = Path(__file__).resolve().parents[3] / "shared/real/ucf-crime-r3d34/Test_Annotation.txt"
    return scored(_real(source) if source.is_file() else generated())


def scored(videos: dict[str, VideoTruth]) -> TestSet:
    """Return these videos with scores that follow their truth: in all 1.1 million frames."""
    random = np.random.default_rng(0)
    return scene({name: (v, _probs(random, v)) for name, v in videos.items()}, [f"c{k}" for k in range(CLASSES)])


def _real(source: Path) -> dict[str, VideoTruth]:
    videos, classes = {}, ["Normal"]
    for line in source.read_text().splitlines():
        name, frames, kind, *ends = line.split()
        classes += [kind] if kind not in classes else []
        spans = [(int(a), int(b)) for a, b in zip(ends[::2], ends[1::2], strict=True) if int(a) >= 0]
        events = [(a, b, classes.index(kind)) for a, b in spans]
        videos[name] = abnormal(int(frames), *events) if events else normal(int(frames))
    return videos


def generated() -> dict[str, VideoTruth]:
    """UCF-Crime's numbers of videos, snippets and classes, in videos whose lengths differ as much."""
    random = np.random.default_rng(0)
    shares = random.lognormal(0, 1, VIDEOS)
    lengths = 1 + random.multinomial(SNIPPETS - VIDEOS, shares / shares.sum())
    videos = {}
    for index, length in enumerate(lengths.tolist()):
        frames, begin = 16 * length - index % 16, 8 * length
        event = (begin, begin + frames // 8 + 1, 1 + index % (CLASSES - 1))
        videos[f"v{index}"] = abnormal(frames, event) if index % 2 else normal(frames)
    return videos


def _probs(random: np.random.Generator, video: VideoTruth) -> np.ndarray:
    """Class probabilities `[T, K]` that follow the truth with noise, smooth in time as models' are."""
    snippets = -(-video.frames // 16)
    noise = random.standard_normal((snippets + 8, CLASSES)).cumsum(axis=0)
    logits = (noise[8:] - noise[:-8]) / 2
    logits[:, 0] += 3
    for event in video.events:
        logits[event.start // 16 : event.end // 16 + 1, event.label] += 4
    exponents = np.exp(logits)
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Show a line at the end of the run."""
    return request.config.stash.setdefault(_LINES, []).append


@pytest.fixture
def side_by_side(benchmark: BenchmarkFixture, say: Callable[[str], None]) -> Callable[..., None]:
    """Time one of two computations, `how` being "plain" or "ours"; fail unless ours gives the plain numbers to 1e-12.

    The ratio of the best times goes into the benchmark's `extra_info` and the last lines of the run, beside `target`.
    """

    def run(how: str, plain: Callable[[], Any], ours: Callable[[], Any], target: float, rounds: dict[str, int]) -> None:
        computation, what = {"plain": plain, "ours": ours}[how], str(benchmark.group)
        found = benchmark.pedantic(computation, rounds=rounds[how], warmup_rounds=int(rounds[how] > 1))
        seconds = None if benchmark.stats is None else benchmark.stats.stats.min
        if how == "plain":
            _PLAIN[what] = (found, seconds)
            return
        expected, slow = _PLAIN.get(what) or (plain(), None)
        assert found == pytest.approx(expected, abs=1e-12)
        if slow and seconds:
            benchmark.extra_info["times_faster"] = slow / seconds
            say(f"{what}: {slow / seconds:.0f} times faster than the plain computation (target {target:g})")

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the ratios."""
    for line in config.stash.get(_LINES, []):
        terminalreporter.write_line(line)
