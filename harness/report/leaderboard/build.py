"""Leaderboards from tracked runs: seeds become means, and only what can be compared shares a table."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError
from harness.metrics.power import seeds_needed
from harness.metrics.variance import Estimate
from harness.records.result import RunResult
from harness.records.truth import GroundTruth
from harness.report.figures import ordered
from harness.report.leaderboard.board import Board, Failure, Leaderboard, OpenPair, Row
from harness.report.leaderboard.causal import with_losses
from harness.report.leaderboard.cautions import of_rows
from harness.report.leaderboard.keys import Key, Training, keys_of, siblings_of, title_of, training_of
from harness.report.leaderboard.ranking import ranks
from harness.report.leaderboard.rows import Member, oracle_gap, row_of, stability
from harness.report.leaderboard.transfer import transfers
from harness.report.leaderboard.uncertainty import Artifact, Resamples
from harness.report.throughput.build import build_throughput
from harness.report.throughput.paces import with_paces
from harness.tracking.benchmarks import Benchmark
from harness.tracking.rounding_spread import Spreads
from harness.tracking.tracker import TrackedRun


def build_leaderboard(
    runs: Sequence[TrackedRun],
    failures: Sequence[TrackedRun],
    artifact: Artifact,
    notes: Mapping[str, str] | None = None,
    cache: Path | None = None,
    spreads: Spreads | None = None,
    benchmarks: Sequence[Benchmark] = (),
) -> Leaderboard:
    """Build the leaderboards of `runs`; `artifact` gives a local path of one of a run's files.

    `spreads` are what was measured of how runs round. Variants of runs, which that measures, are no results.
    `benchmarks` are what `harness bench` measured: boards of their own, and the speeds of rows they measured.
    Intervals are kept in the directory `cache`, if one is given.
    """
    groups: dict[Key, list[Member]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.started):
        for key, member in keys_of(run):
            groups[key].append(member)
    boards = []
    for key in sorted(groups):
        siblings = siblings_of(key, sorted(groups))
        board = _board(key, siblings, groups[key], artifact, (notes or {}).get(key.dataset, ""), cache)
        rows = tuple(dataclasses.replace(row, stability=stability(row, spreads or {})) for row in board.rows)
        boards.append(dataclasses.replace(board, rows=rows))
    throughput = build_throughput(benchmarks)
    paced = with_paces(with_losses(boards, artifact, cache), throughput)
    failed = tuple(_failure(run.result) for run in failures)
    return Leaderboard(paced, failed, transfers(paced, artifact, cache), throughput=throughput)


def _board(
    key: Key, siblings: list[Key], members: list[Member], artifact: Artifact, note: str, cache: Path | None
) -> Board:
    # Of a seed that was run twice (other code or device) the newest counts.
    groups: dict[tuple[Training, str], dict[int, Member]] = defaultdict(dict)
    for run, spec in members:
        groups[training_of(spec), spec.selection][spec.seed] = (run, spec)
    cautions = [note] if note else []
    if key.partial:
        cautions.insert(0, f"An incomplete data set: {key.partial}. Its numbers are not those of the whole one.")
    cautions += [f"{spec.method} seed {spec.seed}: {line}" for run, spec in members for line in run.result.cautions]
    truth, first = None, members[-1][0].result
    try:
        truth = key.asked.truth(GroundTruth.load(artifact(members[-1][0], "truth.json")))
        cautions += [truth.undefined] if truth.undefined else []
    except HarnessError as error:
        cautions.append(f"Ground truth could not be read, so there are no intervals: {error}")
    resamples = Resamples(truth, artifact, cache) if truth else None
    if resamples:
        resamples.prepare([[run for run, _ in by_seed.values()] for by_seed in groups.values()])
    rows, old, undecided = [], list[str](), list[OpenPair]()
    for (training, selection), by_seed in groups.items():
        chosen = [by_seed[seed] for seed in sorted(by_seed)]
        # The same trainings looked at on the test set tell what the honest row leaves out.
        looked = groups.get((training, "oracle"), {}) if selection == "last" else by_seed
        gap = oracle_gap([run for run, _ in looked.values()]) if looked.keys() == by_seed.keys() else None
        spread: dict[str, Estimate] = {}
        try:
            if truth and resamples:
                runs = [run for run, _ in chosen]
                spread = resamples.estimates(runs)
                old += [training.method] if resamples.outdated(runs) else []
        except HarnessError as error:
            cautions.append(f"No interval for {training.method}: {error}")
        rows.append(row_of(chosen, gap, spread))
    if old:
        cautions.append(
            "Recorded with another version of the evaluation, so the numbers do not fit the predictions as they are "
            f"scored now; compute again with --rerun: {', '.join(dict.fromkeys(old))}."
        )
    primary = truth.primary if truth else "frame_auc"
    rows.sort(key=lambda row: (-row.metrics[primary].mean if primary in row.metrics else 1, row.method, row.selection))
    if resamples:
        try:
            rows = _ranked(rows, primary, resamples)
            undecided = _open_pairs(rows, primary, resamples)
        except HarnessError as error:
            cautions.append(f"No ranks: {error}")
    return Board(
        title=title_of(key, siblings),
        dataset=key.dataset,
        features=key.features,
        feature_hash=key.feature_hash,
        dataset_hash=key.dataset_hash,
        protocol=key.protocol + (f"; incomplete: {key.partial}" if key.partial else ""),
        primary=primary,
        videos=len(truth.videos) if truth and key.asked.part else first.videos,
        frames=truth.frames if truth and key.asked.part else first.frames,
        excluded=key.excluded,
        metrics=ordered({name for row in rows for name in row.metrics}),
        cautions=tuple(dict.fromkeys([*cautions, *_siblings(siblings), *of_rows(rows)])),
        rows=tuple(rows),
        open_pairs=tuple(undecided),
        partial=key.partial,
        asked=key.asked,
    )


def _ranked(rows: list[Row], primary: str, resamples: Resamples) -> list[Row]:
    # Who looked at the test set competes with nobody.
    honest = [row for row in rows if row.honest and primary in row.metrics]
    found = ranks([row.members for row in honest], primary, resamples)
    rank = {row.runs: (value, found.count(value) > 1) for row, value in zip(honest, found, strict=True) if value}
    return [
        dataclasses.replace(row, rank=value, shared=shared)
        for row, (value, shared) in ((row, rank.get(row.runs, (None, False))) for row in rows)
    ]


def _open_pairs(rows: list[Row], primary: str, resamples: Resamples) -> list[OpenPair]:
    """The best row against each that shares its rank, and what would tell them apart."""
    together = [row for row in rows if row.rank == 1]
    found = []
    for best, row in zip(together[:1] * len(together), together[1:], strict=False):
        apart = resamples.difference(best.members, row.members, primary)
        if apart is not None:
            seeds = min(len(best.seeds), len(row.seeds))
            low, high = apart.interval()
            needed = seeds_needed(apart, seeds)
            found.append(OpenPair(best.title, row.title, apart.value, low, high, seeds, needed))
    return found


def _siblings(siblings: list[Key]) -> list[str]:
    differ = "Other tables of this data set differ in features, card, protocol or excluded videos; see titles."
    return [differ] if len(siblings) > 1 else []


def _failure(result: RunResult) -> Failure:
    return Failure(
        result.id, result.method, result.dataset, result.seed, result.selection, result.error or "", result.log
    )
