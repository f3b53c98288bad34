"""From the store to the report directory: what `harness run` and `harness report` end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import Damaged, UserError
from harness.io.digests import digest
from harness.paths import cache_dir
from harness.records.run_filter import RunFilter
from harness.report.facts import Facts, facts
from harness.report.formats import FORMATS, check_formats
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.unchanged import keep, kept
from harness.tracking.rounding_spread import recorded
from harness.tracking.tracker import TrackedRun, Tracker


def publish_report(
    tracker: Tracker,
    formats: Sequence[str] = FORMATS[:4],
    also: Sequence[str] = (),
    directory: Path | None = None,
    only: RunFilter | None = None,
) -> tuple[Leaderboard, list[Path]]:
    """Read all recorded runs back and write the report to `directory`; return the leaderboards and the files.

    Finished runs that wait on disk are sent to the store first; where that cannot be done they are read from there.
    `also` names further stores and submissions, see `harness.report.sources.joined`. `only` chooses among all these
    runs, which the report then says. Without a `directory` nothing is
    written.

    Raises:
        UserError: nothing is recorded, `only` leaves nothing, a source is wrong, a format is unknown, or the directory
            cannot be written.
        Damaged: a file of a run is not what the run wrote; the report of all others is written.
    """
    check_formats(formats)
    only = only or RunFilter()
    asked = (*formats, only.words)
    # Of several sources there are no facts, and all is made.
    before = facts(tracker) if directory is not None and not also else None
    if before is not None and directory is not None and (found := kept(before.fingerprint(asked), directory)):
        return found
    unsent = tracker.sync()
    now = facts(tracker, before) if directory is not None and not also else None
    found = _made(tracker, formats, also, directory, only, now)
    if now is not None and directory is not None and not unsent and not found[0].missing:
        keep(now.fingerprint(asked), directory, found)
    return found


def _made(
    tracker: Tracker,
    formats: Sequence[str],
    also: Sequence[str],
    directory: Path | None,
    only: RunFilter,
    now: Facts | None,
) -> tuple[Leaderboard, list[Path]]:
    # What takes long to import, and is not needed where nothing has changed.
    from harness.report.leaderboard.build import build_leaderboard
    from harness.report.memory import looked_up
    from harness.report.site.kept import Kept
    from harness.report.sources import chosen, joined
    from harness.report.write import write_report

    cache = cache_dir() / "statistics"
    damaged: list[Damaged] = []
    with joined(tracker, also) as every:
        sources = chosen(every, only, tracker.store)
        artifact = _noting(sources.artifact, damaged)
        notes = looked_up(cache, digest("notes", now.edition) if now else "", _notes)
        measured = (notes, cache, recorded(tracker), sources.benchmarks)
        boards = build_leaderboard(sources.runs, sources.failures, artifact, *measured)
        leaderboard = replace(boards, notices=sources.notices, missing=tuple(tracker.unreadable()))
        if directory is None:
            paths = []
        else:
            earlier = Kept(directory, cache_dir() / "sites", now)
            paths = write_report(leaderboard, artifact, directory, formats, cache, earlier)
            if not damaged:  # a page that lacks a figure is no page that is as it should be
                earlier.save()
    if damaged:
        raise damaged[0]
    return leaderboard, paths


def _noting(artifact: Artifact, damaged: list[Damaged]) -> Artifact:
    """`artifact`, which also notes what is damaged: a page that lacks a figure must not hide why."""

    def noted(run: TrackedRun, name: str) -> Path:
        try:
            return artifact(run, name)
        except Damaged as error:
            damaged.append(error)
            raise

    return noted


def _notes() -> dict[str, str]:
    """What the cards caution about, by data set."""
    from harness.data.cards import find_card, known_names

    notes = {}
    for name in known_names():
        try:
            notes[name] = find_card(name).notes
        except UserError:  # a damaged card is the business of those who use it
            continue
    return notes
