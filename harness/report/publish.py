"""From the store to the report directory: what `harness run` and `harness report` end with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.report.board import Leaderboard
from harness.report.leaderboard import CACHE, build
from harness.report.sources import joined
from harness.report.write import FORMATS, check_formats, write_report
from harness.spread import recorded
from harness.track import Tracker


def publish(
    tracker: Tracker, formats: Sequence[str] = FORMATS[:4], also: Sequence[str] = ()
) -> tuple[Leaderboard, list[Path]]:
    """Read all recorded runs back from the store and write OUT/report; return the leaderboards and the files.

    `also` names further stores and submissions, see `harness.report.sources.joined`.

    Raises:
        UserError: nothing is recorded, a source is wrong, a format is unknown, or the directory cannot be written.
    """
    check_formats(formats)
    cache = tracker.out / CACHE
    with joined(tracker, also) as sources:
        boards = build(sources.runs, sources.failures, sources.artifact, _notes(), cache, recorded(tracker))
        leaderboard = replace(boards, notices=sources.notices)
        return leaderboard, write_report(leaderboard, sources.artifact, tracker.out / "report", formats, cache)


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
