"""Leaderboards from tracked runs: seeds become means, and only what can be compared shares a table."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import HarnessError, UserError
from harness.identity.check_record import unchecked
from harness.io.digests import digest
from harness.metrics.power import seeds_needed
from harness.metrics.variance import Estimate
from harness.parity.record import weakest
from harness.records.spec import RunResult, RunSpec
from harness.records.truth import GroundTruth
from harness.report.figures import ordered
from harness.report.leaderboard.board import Board, Failure, Figure, Leaderboard, OpenPair, Row
from harness.report.leaderboard.published import published
from harness.report.leaderboard.ranking import ranks
from harness.report.leaderboard.uncertainty import Artifact, Resamples
from harness.tracking.rounding_spread import Spreads, key_of
from harness.tracking.tracker import TrackedRun

_Member = tuple[TrackedRun, RunSpec]


class _Key(NamedTuple):
    """What the rows of one board share.

    Test videos without features, another import of the features or another protocol change every number by something
    no method did, so such runs never meet in one table. The card's hash stands for its classes and splits. `partial`
    says what was there of an incomplete data set.
    """

    dataset: str
    features: str
    feature_hash: str
    dataset_hash: str
    protocol: str
    excluded: tuple[str, ...]
    partial: str


class _Training(NamedTuple):
    """What the seeds of one row share, but for the selection rule."""

    method: str
    config_hash: str
    preset: str
    text_tower: str
    scale: float
    checkpoint: str
    arithmetic: str


def build(
    runs: Sequence[TrackedRun],
    failures: Sequence[TrackedRun],
    artifact: Artifact,
    notes: Mapping[str, str] | None = None,
    cache: Path | None = None,
    spreads: Spreads | None = None,
) -> Leaderboard:
    """Build the leaderboards of `runs`; `artifact` gives a local path of one of a run's files.

    `spreads` are what was measured of how runs round. Variants of runs, which that measures, are no results.
    Intervals are kept in the directory `cache`, if one is given.
    """
    groups: dict[_Key, list[_Member]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.started):
        if (spec := run.result.spec) is not None and not spec.variant:
            excluded = tuple(run.result.excluded)
            same = (spec.dataset, spec.features, spec.feature_hash, spec.dataset_hash, spec.protocol)
            groups[_Key(*same, excluded, spec.partial)].append((run, spec))
    boards = []
    for key in sorted(groups):
        siblings = [other for other in sorted(groups) if other[:2] == key[:2]]
        board = _board(key, siblings, groups[key], artifact, (notes or {}).get(key.dataset, ""), cache)
        rows = tuple(dataclasses.replace(row, stability=_stability(row, spreads or {})) for row in board.rows)
        boards.append(dataclasses.replace(board, rows=rows))
    return Leaderboard(tuple(boards), tuple(_failure(run.result) for run in failures))


def _board(
    key: _Key, siblings: list[_Key], members: list[_Member], artifact: Artifact, note: str, cache: Path | None
) -> Board:
    # Of a seed that was run twice (other code or device) the newest counts.
    groups: dict[tuple[_Training, str], dict[int, _Member]] = defaultdict(dict)
    for run, spec in members:
        shared = (spec.preset, spec.text_tower, spec.scale, spec.checkpoint, spec.arithmetic)
        training = _Training(spec.method, _config_hash(spec), *shared)
        groups[training, spec.selection][spec.seed] = (run, spec)
    cautions = [note] if note else []
    if key.partial:
        cautions.insert(0, f"An incomplete data set: {key.partial}. Its numbers are not those of the whole one.")
    cautions += [f"{spec.method} seed {spec.seed}: {line}" for run, spec in members for line in run.result.cautions]
    truth, first = None, members[-1][0].result
    try:
        truth = GroundTruth.load(artifact(members[-1][0], "truth.json"))
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
        gap = _gap([run for run, _ in looked.values()]) if looked.keys() == by_seed.keys() else None
        spread: dict[str, Estimate] = {}
        try:
            if truth and resamples:
                runs = [run for run, _ in chosen]
                spread = resamples.estimates(runs)
                old += [training.method] if resamples.outdated(runs) else []
        except HarnessError as error:
            cautions.append(f"No interval for {training.method}: {error}")
        rows.append(_row(chosen, gap, spread))
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
        title=_title(key, siblings),
        dataset=key.dataset,
        features=key.features,
        feature_hash=key.feature_hash,
        dataset_hash=key.dataset_hash,
        protocol=key.protocol + (f"; incomplete: {key.partial}" if key.partial else ""),
        primary=primary,
        videos=first.videos,
        frames=first.frames,
        excluded=key.excluded,
        metrics=ordered({name for row in rows for name in row.metrics}),
        cautions=tuple(dict.fromkeys([*cautions, *_cautions(rows, siblings)])),
        rows=tuple(rows),
        open_pairs=tuple(undecided),
        partial=key.partial,
    )


def _ranked(rows: list[Row], primary: str, resamples: Resamples) -> list[Row]:
    # Who looked at the test set competes with nobody.
    honest = [row for row in rows if row.honest and primary in row.metrics]
    found = ranks([row.members for row in honest], primary, resamples)
    rank = {row.runs: value for row, value in zip(honest, found, strict=True)}
    return [dataclasses.replace(row, rank=rank.get(row.runs)) for row in rows]


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


def _config_hash(spec: RunSpec) -> str:
    return digest(json.dumps(spec.config, sort_keys=True))[:10]


def _row(chosen: list[_Member], gap: float | None, spread: Mapping[str, Estimate]) -> Row:
    results, spec = [run.result for run, _ in chosen], chosen[-1][1]
    costs = [result.cost for result in results if result.cost is not None]
    facts = {name for result in results for name in result.provenance}
    title, family, published_as = _names(spec.method)
    return Row(
        method=spec.method,
        title=title + (f" without {spec.ablation}" if spec.ablation else "") + _rounded(spec),
        family=family,
        ablation=spec.ablation,
        preset=spec.preset,
        selection=spec.selection,
        origin=results[-1].origin,
        checkpoint=spec.checkpoint,
        arithmetic=spec.arithmetic,
        text_tower=spec.text_tower,
        scale=spec.scale,
        config_hash=_config_hash(spec),
        config=spec.config,
        seeds=tuple(result.seed for result in results),
        metrics=_figures([result.metrics for result in results], spread),
        class_auc=_figures([result.class_auc for result in results], {}),
        fidelity=weakest(result.provenance.get("fidelity", "") for result in results),
        oracle_gap=gap,
        parameters=costs[-1].parameters if costs else None,
        train_seconds=None if spec.checkpoint or not costs else statistics.fmean(cost.train_seconds for cost in costs),
        test_frames_per_second=statistics.fmean(cost.test_frames_per_second for cost in costs) if costs else None,
        # A published number was had on the whole data set.
        published={} if spec.partial else published(published_as, spec.dataset, spec.features),
        runs=tuple(result.id for result in results),
        code=tuple(sorted({each.code for _, each in chosen})),
        provenance={k: tuple(sorted({result.provenance.get(k, "") for result in results})) for k in sorted(facts)},
        members=tuple(run for run, _ in chosen),
        unchecked=any(map(unchecked, results)),
    )


def _stability(row: Row, spreads: Spreads) -> float | None:
    """The widest spread that was measured of the row's own runs."""
    keys = [key_of(run.result.spec) for run in row.members if run.result.spec is not None]
    return max((spreads[key].width for key in keys if key in spreads), default=None)


def _rounded(spec: RunSpec) -> str:
    """What a title says of the arithmetic: nothing of exact fp32."""
    return "" if spec.arithmetic == "fp32" else f" in {spec.arithmetic}"


def _figures(values: list[dict[str, float]], spread: Mapping[str, Estimate]) -> dict[str, Figure]:
    figures = {}
    # A metric that one seed lacks has no mean over the row's seeds.
    for name in [name for name in values[0] if all(name in each for each in values)]:
        numbers = [each[name] for each in values]
        figures[name] = Figure(statistics.fmean(numbers))
        if len(numbers) > 1:
            figures[name] = dataclasses.replace(figures[name], sd=statistics.stdev(numbers))
        if estimate := spread.get(name):
            videos = estimate.of_weights.interval_in_odds()
            low, high = estimate.interval_in_odds() if len(numbers) > 1 else (None, None)
            figures[name] = dataclasses.replace(
                figures[name], low=low, high=high, videos_low=videos[0], videos_high=videos[1]
            )
    return figures


def _gap(runs: list[TrackedRun]) -> float | None:
    gaps = [run.result.selected.gap for run in runs if run.result.selected and run.result.selected.gap is not None]
    return statistics.fmean(gaps) if len(gaps) == len(runs) else None


def _names(method: str) -> tuple[str, str, str]:
    """Title, family and published name; a method of another installation has only its name."""
    from harness.registry import method_class

    try:
        card = method_class(method).card
    except (KeyError, UserError):
        return method, "", ""
    return card.title, card.family, card.published_as


def _title(key: _Key, siblings: list[_Key]) -> str:
    """Data set and features, and of the rest whatever tells this board from its siblings."""
    shown = {
        "feature_hash": f"features {key.feature_hash[:8]}",
        "dataset_hash": f"card {key.dataset_hash[:8]}",
        "protocol": f"protocol {key.protocol[:60]}",
        "excluded": f"{len(key.excluded)} excluded, {digest(*key.excluded)[:8]}",
    }
    parts = [key.partial] if key.partial else []
    parts += [text for name, text in shown.items() if len({getattr(sibling, name) for sibling in siblings}) > 1]
    return f"{key.dataset} · {key.features}" + (f" [{'; '.join(parts)}]" if parts else "")


def _cautions(rows: list[Row], siblings: list[_Key]) -> list[str]:
    found = []
    if len(siblings) > 1:
        found.append("Other tables of this data set differ in features, card, protocol or excluded videos; see titles.")
    if not all(row.honest for row in rows):
        found.append(
            "Rows with selection oracle or paper chose their weights on the test set; only last and val did not."
        )
    if single := [row.title for row in rows if row.honest and row.claim == "weights"]:
        found.append(
            f"One seed, no claim: {', '.join(dict.fromkeys(single))}. Their numbers speak of these weights; a "
            "statement about the method takes several seeds (--seeds 0,1,2)."
        )
    if names := ", ".join(dict.fromkeys(row.method for row in rows if row.unchecked)):
        found.append(f"Unchecked: {names}. Not known to have passed `harness check-method` with the code of its rows.")
    if any(row.checkpoint for row in rows):
        found.append("Given weights come from checkpoints: what they saw and how they were chosen is not known here.")
    if any(len(row.code) > 1 for row in rows):
        mixed = ", ".join(row.method for row in rows if len(row.code) > 1)
        found.append(f"Seeds of one row were computed by different versions of the code: {mixed}.")
    machines = {(row.provenance.get("processor"), row.provenance.get("gpu")) for row in rows}
    if len(machines) > 1:
        found.append("Rows come from different machines; do not compare their times.")
    return found


def _failure(result: RunResult) -> Failure:
    return Failure(
        result.id, result.method, result.dataset, result.seed, result.selection, result.error or "", result.log
    )
