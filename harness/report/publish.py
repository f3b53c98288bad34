"""From the store to the report directory: what `harness run` and `harness report` end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import Damaged, UserError
from harness.paths import cache_dir
from harness.records.run_filter import RunFilter
from harness.report.cache import fingerprint, keep, kept
from harness.report.formats import FORMATS, check_formats
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.uncertainty import Artifact
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
    facts = (*formats, only.words)
    if directory is not None and not also and (found := kept(fingerprint(tracker, facts), directory)):
        return found
    unsent = tracker.sync()
    key = fingerprint(tracker, facts)
    found = _made(tracker, formats, also, directory, only)
    if directory is not None and not also and not unsent and not found[0].missing:
        keep(key, directory, found)
    return found


def _made(
    tracker: Tracker, formats: Sequence[str], also: Sequence[str], directory: Path | None, only: RunFilter
) -> tuple[Leaderboard, list[Path]]:
    # What takes seconds to import, and is not needed where nothing has changed.
    from harness.report.leaderboard.build import build_leaderboard
    from harness.report.sources import chosen, joined
    from harness.report.write import write_report

    cache = cache_dir() / "statistics"
    damaged: list[Damaged] = []
    with joined(tracker, also) as every:
        sources = chosen(every, only, tracker.store)
        artifact = _noting(sources.artifact, damaged)
        facts = (_notes(), cache, recorded(tracker), sources.benchmarks)
        boards = build_leaderboard(sources.runs, sources.failures, artifact, *facts)
        leaderboard = replace(boards, notices=sources.notices, missing=tuple(tracker.unreadable()))
        paths = [] if directory is None else write_report(leaderboard, artifact, directory, formats, cache)
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
