"""The seeds of one row of a leaderboard under one parent run, which has their means and standard deviations.

A parent is no run of the harness: it lacks the tag that all readers ask for. Members and parents carry the hash of what
they share. A member is put under its parent after the parent counts it, so that a finished run without a living parent
is all that a crash can leave, and `loose` finds it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Collection, Iterable
from typing import Any

from harness.io.digests import digest
from harness.records.result import RunResult
from harness.records.spec import SEEDED
from harness.tracking.client import log, pages, stored_of
from harness.tracking.description import PARENT_RUN, family_tags
from harness.tracking.fields import flat, pieces
from harness.tracking.format import RUN_ID, Point, Stored, restored

FAMILY, PARENT = "harness.family", "harness.parent"
SD = "sd/"
# Looks at what others record meanwhile.
_LOOKS = 5


def family_of(result: RunResult) -> str:
    """Return the hash of what the seeds of one row share, "" for a run that says too little."""
    return digest(result.spec.family, *result.excluded)[:32] if result.spec is not None else ""


def gather(client: Any, experiment: str, family: str) -> None:
    """Put the finished members of a family under its parent, which is made, brought up to date, or removed.

    Raises whatever the store's backend raises.
    """
    for _ in range(_LOOKS):
        found = list(pages(client, [experiment], f"tags.`{FAMILY}` = '{family}'"))
        members = [run for run in found if RUN_ID in run.data.tags and run.info.status == "FINISHED"]
        parents = sorted(
            (run for run in found if PARENT in run.data.tags), key=lambda run: (run.info.start_time, run.info.run_id)
        )
        if not _changed(client, experiment, family, members, parents):
            return


def loose(finished: Collection[Stored], parents: Collection[Stored]) -> set[tuple[str, str]]:
    """Return (experiment, family) of runs without a living parent, and of parents that are double or without runs."""
    homes = {run.tags[PARENT_RUN] for run in finished if PARENT_RUN in run.tags}
    living = {run.id for run in parents}
    found = {
        (run.experiment, run.tags[FAMILY])
        for run in finished
        if FAMILY in run.tags and run.tags.get(PARENT_RUN) not in living
    }
    return found | {(run.experiment, run.tags[FAMILY]) for run in parents if run.id not in homes and FAMILY in run.tags}


def _changed(client: Any, experiment: str, family: str, members: list[Any], parents: list[Any]) -> bool:
    """Do what is to be done by one look; return whether it was anything."""
    kept, others = parents[:1] if members else [], parents[1:] if members else parents
    for other in others:
        client.delete_run(other.info.run_id)
    if not members:
        return bool(others)
    newest = _newest(members)
    numbers = {seed: {k: v for k, v in run.data.metrics.items() if "/" not in k} for seed, run in newest.items()}
    means = _means(numbers)
    last = max(newest.values(), key=lambda run: run.info.start_time)
    try:
        result = restored(stored_of(last, ""))
    except ValueError:  # of another version, which knows better
        return False
    labels = family_tags(result, numbers, means)
    if kept:
        parent, before, tags = kept[0].info.run_id, kept[0].data.metrics, kept[0].data.tags
    else:
        assert result.spec is not None
        name = f"{result.spec.family_words}-{family[:6]}"
        start = min(run.info.start_time for run in members)
        mark = {FAMILY: family, PARENT: "parent", "harness.method": result.method}
        made = client.create_run(experiment, start_time=start, run_name=name, tags=mark)
        parent, before, tags = made.info.run_id, {}, {}
        shared = result.spec.model_dump(mode="json", exclude=set(SEEDED))
        log(client, parent, [], pieces(flat(shared)), {})
    gone = {key: math.nan for key, value in before.items() if key not in means and not math.isnan(value)}
    new = {key: value for key, value in {**means, **gone}.items() if not _same(before.get(key), value)}
    changed = {key: value for key, value in labels.items() if tags.get(key) != value}
    end = max(run.info.end_time or run.info.start_time for run in members)
    if new or changed:
        # Of points of one step the latest counts, by the clocks of whoever writes; `seeds` says when the last did.
        history = client.get_metric_history(parent, "seeds") if kept else []
        now = max([int(1000 * time.time()), *(1 + point.timestamp for point in history)])
        new["seeds"] = means["seeds"]
        log(client, parent, [Point(key, value, 0, now) for key, value in new.items()], {}, changed)
    if not kept or kept[0].info.status != "FINISHED" or kept[0].info.end_time != end:
        client.set_terminated(parent, "FINISHED", end)
    moved = [run for run in members if run.data.tags.get(PARENT_RUN) != parent]
    for run in moved:
        client.set_tag(run.info.run_id, PARENT_RUN, parent)
    return bool(new or changed or moved or others)


def _newest(members: Iterable[Any]) -> dict[int, Any]:
    """By seed; of one that was run twice, by other code or on another device, the newest counts, as on a board."""
    found: dict[int, Any] = {}
    for run in sorted(members, key=lambda run: (run.info.start_time, run.info.run_id)):
        found[int(run.data.tags["harness.seed"])] = run
    return found


def _means(numbers: dict[int, dict[str, float]]) -> dict[str, float]:
    """Means, standard deviations (n - 1), and the number of seeds; a metric that one seed lacks has none."""
    values = list(numbers.values())
    shared = [key for key in values[0] if all(key in each for each in values)]
    found = {"seeds": float(len(values))}
    for key in shared:
        column = [each[key] for each in values]
        found[key] = statistics.fmean(column)
        if len(column) > 1:
            found[SD + key] = statistics.stdev(column)
    return found


def _same(before: float | None, value: float) -> bool:
    return before is not None and (before == value or (math.isnan(before) and math.isnan(value)))
