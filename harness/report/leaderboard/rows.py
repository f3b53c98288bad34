"""One row of a leaderboard: the runs of one training with several seeds become means and their spread."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping

from harness.errors import UserError
from harness.identity.check_record import unchecked
from harness.io.digests import digest
from harness.metrics.variance import Estimate
from harness.parity.record import weakest
from harness.records.spec import RunSpec
from harness.report.leaderboard.board import Figure, Row
from harness.report.leaderboard.published import published
from harness.tracking.rounding_spread import Spreads, key_of
from harness.tracking.tracker import TrackedRun

Member = tuple[TrackedRun, RunSpec]


def row_of(chosen: list[Member], gap: float | None, spread: Mapping[str, Estimate]) -> Row:
    """Return the row of runs that differ in their seed alone, in the order of seeds.

    `gap` is what choosing weights on the test set would add, `spread` the estimates of each metric's uncertainty.
    """
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
        config_hash=config_hash(spec),
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
        # There is no code of ours to check behind scores of others.
        unchecked=results[-1].origin != "imported" and any(map(unchecked, results)),
    )


def stability(row: Row, spreads: Spreads) -> float | None:
    """Return the widest spread that was measured of the row's own runs, None where none was."""
    keys = [key_of(run.result.spec) for run in row.members if run.result.spec is not None]
    return max((spreads[key].width for key in keys if key in spreads), default=None)


def oracle_gap(runs: list[TrackedRun]) -> float | None:
    """Return the mean of what choosing weights on the test set adds to each run; None where one does not say."""
    gaps = [run.result.selected.gap for run in runs if run.result.selected and run.result.selected.gap is not None]
    return statistics.fmean(gaps) if len(gaps) == len(runs) else None


def config_hash(spec: RunSpec) -> str:
    """Return a short hash of a run's settings."""
    return digest(json.dumps(spec.config, sort_keys=True))[:10]


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


def _names(method: str) -> tuple[str, str, str]:
    """Title, family and published name; a method of another installation has only its name."""
    from harness.registry import method_card

    try:
        card = method_card(method)
    except (KeyError, UserError):
        return method, "", ""
    return card.title, card.family, card.published_as
