"""Do intervals, p-values and verdicts keep what they promise? Test sets and seeds with a known truth.

    python -m tests.simulation.uncertainty --repetitions 500 --seed 15

Videos have lengths, events and difficulties of their own, methods and seeds react to single videos in their own way,
and a seed makes a whole training better or worse. Two methods are equal by construction, a third is truly better by
two standard errors of the difference. `docs/statistics.md` holds the table that this prints.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.bootstrap import plan, resampled
from harness.metrics.frame import Floats, SnippetTable, roc_auc
from harness.metrics.variance import Estimate, difference, mean

VIDEOS = 120
NORMAL = np.arange(VIDEOS) % 2 == 0
RESAMPLES = 300
SEEDS = (2, 3, 5, 10)
SPREADS = (0.0, 0.5, 1.0, 5.0)
LEAD = 1.3


@dataclass(frozen=True)
class Chance:
    """Standard deviations of a snippet's score by where they come from."""

    video: float = 0.7
    method_on_video: float = 0.5
    seed_on_video: float = 0.3
    snippet: float = 1.0


@dataclass(frozen=True)
class TestSet:
    """One draw of test videos: owner and kind of each snippet, and how hard each video is for everyone."""

    __test__ = False
    video: NDArray[np.int64]
    inside: NDArray[np.bool_]
    difficulty: Floats


def draw_test_set(rng: np.random.Generator, normal: NDArray[np.bool_], chance: Chance) -> TestSet:
    """Videos of 4 to 120 snippets; a third of an abnormal one lies inside an event."""
    lengths = np.clip(rng.lognormal(2.9, 0.7, len(normal)), 4, 120).astype(np.int64)
    video = np.repeat(np.arange(len(normal)), lengths)
    place = np.arange(len(video)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    inside = ~normal[video] & (place < lengths[video] / 3)
    return TestSet(video, inside, chance.video * rng.standard_normal(len(normal)))


def draw_method(
    rng: np.random.Generator, test: TestSet, leads: Sequence[float], chance: Chance
) -> Iterator[SnippetTable]:
    """One table per seed; `leads` are how much higher a seed scores inside events."""
    videos = len(test.difficulty)
    own = test.difficulty + chance.method_on_video * rng.standard_normal(videos)
    frames = np.full(len(test.video), 16)
    for lead in leads:
        by_video = own + chance.seed_on_video * rng.standard_normal(videos)
        scores = lead * test.inside + by_video[test.video] + chance.snippet * rng.standard_normal(len(test.video))
        yield SnippetTable(scores, frames * test.inside, frames * ~test.inside, test.video)


@functools.cache
def truths(chance: Chance) -> tuple[Floats, Floats]:
    """The true frame AUC by lead, from four test sets of 20,000 videos: (leads, AUCs)."""
    leads = np.linspace(-4, 7, 89)
    rng = np.random.default_rng(0)
    normal = np.arange(20_000) % 2 == 0
    found = np.zeros((4, len(leads)))
    for row in found:
        test = draw_test_set(rng, normal, chance)
        (base,) = draw_method(rng, test, [0.0], chance)
        # All snippets have as many frames and no two the same score: the AUC is the share of pairs in the right order.
        inside, outside = (np.sort(base.scores[chosen]) for chosen in (test.inside, ~test.inside))
        row[:] = [np.searchsorted(outside, inside + lead).mean() / len(outside) for lead in leads]
    return leads, found.mean(axis=0)


def true_auc(lead: float, spread: float, chance: Chance) -> float:
    """The true mean frame AUC of a method whose seeds' leads have the standard deviation `spread`."""
    leads, aucs = truths(chance)
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    return float(np.interp(lead + spread * nodes, leads, aucs) @ weights / weights.sum())


@functools.cache
def scale(chance: Chance) -> tuple[float, float, float]:
    """Deviation by test videos of one method's AUC, of a difference of two, and the change of the AUC by lead."""
    rng = np.random.default_rng(1)
    alone, apart = [], []
    for _ in range(300):
        test = draw_test_set(rng, NORMAL, chance)
        a, b = (next(draw_method(rng, test, [LEAD], chance)) for _ in range(2))
        values = [roc_auc(t.scores, t.positives, t.negatives) or 0.0 for t in (a, b)]
        alone.append(values[0])
        apart.append(values[0] - values[1])
    slope = (true_auc(LEAD + 0.05, 0, chance) - true_auc(LEAD - 0.05, 0, chance)) / 0.1
    return float(np.std(alone)), float(np.std(apart)), slope


@dataclass
class Cell:
    """What happened in the repetitions of one setting; counts, and estimates of power."""

    repetitions: int = 0
    paired: int = 0
    unpaired: int = 0
    held: int = 0
    held_difference: int = 0
    seen: int = 0
    videos_only: int = 0


def simulate(
    repetitions: int, seed: int, seeds: Sequence[int] = SEEDS, spreads: Sequence[float] = SPREADS
) -> dict[tuple[int, float], Cell]:
    """Return the cells by (number of seeds, spread between seeds over that by videos)."""
    chance = Chance()
    by_videos, apart, slope = scale(chance)
    cells = {(count, spread): Cell() for count in seeds for spread in spreads}
    draws = plan(NORMAL, RESAMPLES, seed=0)
    most = max(seeds)
    for spread in spreads:
        rng = np.random.default_rng([seed, int(10 * spread)])
        deviation = spread * by_videos / slope
        truth = true_auc(LEAD, deviation, chance)
        for _ in range(repetitions):
            test = draw_test_set(rng, NORMAL, chance)
            shifts = rng.standard_normal((2, most)) * deviation
            a, b = (
                np.stack([resampled(t, draws)["frame_auc"] for t in draw_method(rng, test, LEAD + own, chance)])
                for own in shifts
            )
            for count in seeds:
                _count(cells[count, spread], a[:count], b[:count], truth, apart, spread * by_videos)
    return cells


def _count(cell: Cell, a: Floats, b: Floats, truth: float, apart: float, between: float) -> None:
    cell.repetitions += 1
    alone = mean(a, NORMAL)
    paired, unpaired = (_sure(difference(a, b, NORMAL, paired)) for paired in (True, False))
    assert alone is not None
    cell.held += _holds(alone.interval_in_odds(), truth)
    cell.paired += paired.p_value < 0.05
    cell.unpaired += unpaired.p_value < 0.05
    cell.held_difference += _holds(paired.interval(), 0.0)
    cell.videos_only += paired.of_weights.p_value < 0.05
    # A true lead of two standard errors: every seed of the first is better by the same amount.
    lead = 2 * math.sqrt(apart**2 + 2 * between**2 / len(a))
    cell.seen += _sure(difference(a + lead, b, NORMAL, False)).p_value < 0.05


def _sure(found: Estimate | None) -> Estimate:
    assert found is not None
    return found


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def table(cells: dict[tuple[int, float], Cell]) -> str:
    """Return the cells as a Markdown table, in percent."""
    lines = [
        "| seeds | spread of seeds / of videos | called different, paired | unpaired | by videos alone "
        "| interval of a mean holds | of a difference | power at 2 standard errors |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (count, spread), cell in cells.items():
        numbers = (cell.paired, cell.unpaired, cell.videos_only, cell.held, cell.held_difference, cell.seen)
        shares = " | ".join(f"{100 * number / cell.repetitions:.1f}" for number in numbers)
        lines.append(f"| {count} | {spread:g} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=15)
    given = parser.parse_args()
    print(table(simulate(given.repetitions, given.seed)))


if __name__ == "__main__":
    main()
