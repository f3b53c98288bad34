"""Does a pull request hold? Additions alone, each submission verified anew, each record as verification has it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.add import Found
from harness.boards.allowed_changes import sort_changes
from harness.boards.handed_in import Examiner
from harness.boards.history import Change, History
from harness.boards.index import Board, boards
from harness.boards.record import JSON_LIMIT, Record, Resampled, Row, parse_arrays, trusted_record
from harness.boards.repository import Repository
from harness.boards.reruns import parse_rerun
from harness.errors import UserError
from harness.submissions.archive import plain

# What submissions are verified with.
_TRUSTED = ("board.yaml", "cards", "annotations")
# Paths that a note lists.
_LISTED = 20


@dataclass(frozen=True)
class Checked:
    """What was found of a pull request.

    `problems` have one line for each thing that does not hold, `notes` what to know besides; `added` are the records
    that hold. `before` and `after` are the boards on which these stand, without and with them.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    added: tuple[Record, ...]
    before: tuple[Board, ...]
    after: tuple[Board, ...]


def check(directory: Path, base: str, maintainer: bool = False, imported: bool = True) -> Checked:
    """Return what the commits since the merge base with `base` change, and whether they may.

    Rules, cards and annotations are those of the merge base, so that a pull request brings no measure of its own;
    with `maintainer` they are the present ones. Data sets `imported` on this machine count, too.

    Raises:
        UserError: there is no repository, no such base, or its rules cannot be read.
    """
    history = History(directory)
    start = history.merge_base(base)
    made = history.changes(start)
    changes = sort_changes(made, maintainer)
    records = {
        Path(path).stem: blob for path, blob in history.files(start, ["records"]).items() if path.endswith("json")
    }
    read = zip(records, history.contents(list(records.values())), strict=True)
    earlier = {name: trusted_record(data, f"records/{name}.json") for name, data in read}
    with tempfile.TemporaryDirectory() as scratch:
        repository = _repository(history, "HEAD" if maintainer else start, Path(scratch) / "trusted")
        maintained = _maintained(history, made, repository) if maintainer else ()
        handed_in = Examiner(history, changes, repository, earlier, imported).examine(Path(scratch))
        lines = (*changes.problems, *maintained, *handed_in.problems)
        # Where the files lay that verified is of no interest.
        problems = dict.fromkeys(line.replace(f"{repository.directory}/", "") for line in lines)
    before, after = _boards(history, start, earlier, {each.record.id: each for each in handed_in.found})
    added = tuple(each.record for each in handed_in.found)
    notes = list(_copies(earlier, added))
    notes += [f"{plain(path)}: is not committed, so nobody looked at it" for path in history.uncommitted()[:_LISTED]]
    return Checked(tuple(problems), tuple(notes), added, before, after)


def _earlier(history: History, commit: str) -> dict[str, Record]:
    """The records that a commit has, by id."""
    there = {path: blob for path, blob in history.files(commit, ["records"]).items() if path.endswith(".json")}
    read = zip(there, history.contents(list(there.values())), strict=True)
    return {Path(path).stem: trusted_record(data, path) for path, data in read}


def _copies(earlier: Mapping[str, Record], added: Sequence[Record]) -> Iterator[str]:
    """Notes on new rows of trained methods whose scores were handed in before."""
    known = {scores: record.id for record in earlier.values() for row in record.rows for scores in row.scores}
    for record in added:
        for row in record.rows:
            same = {known[scores] for scores in row.scores if scores in known} - {record.id}
            if same and row.board.asked.track not in ("training-free", "zero-shot"):
                others = ", ".join(sorted(same))
                yield f"{record.id}: {plain(row.title)} has scores that are bit for bit those of {others}"


def _repository(history: History, commit: str, place: Path) -> Repository:
    """What verifies, as a commit has it, written to `place`."""
    files = history.files(commit, _TRUSTED)
    for name, data in zip(files, history.contents(list(files.values())), strict=True):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    if "board.yaml" not in files:
        raise UserError(f"{history.directory}: board.yaml is not there at {commit[:12]}; is it a results repository?")
    repository = Repository(place)
    _ = repository.settings  # where these cannot be read nothing can be said
    return repository


def _maintained(history: History, changes: list[Change], repository: Repository) -> Iterator[str]:
    """What does not hold of cards and reruns that a maintainer adds."""
    for change in (each for each in changes if each.kind == "A" and each.regular):
        name = Path(change.path).name
        try:
            if change.path.startswith("cards/") and name.endswith(".yaml"):
                repository.card(name.removesuffix(".yaml"))
            if change.path.startswith("reruns/") and name.endswith(".json"):
                rerun = parse_rerun(history.content(change.blob, JSON_LIMIT, plain(change.path)), plain(change.path))
                if not name.startswith(f"{rerun.id}-"):
                    yield f"{plain(change.path)}: field id: is {rerun.id}, the file is of another"
        except UserError as error:
            yield str(error)


def _boards(
    history: History, start: str, earlier: Mapping[str, Record], found: Mapping[str, Found]
) -> tuple[tuple[Board, ...], tuple[Board, ...]]:
    """The boards that new rows stand on, without and with them."""
    touched = {(row.board, row.division) for each in found.values() for row in each.record.rows}

    def only(row: Row) -> bool:
        return (row.board, row.division) in touched

    there = [record for record in earlier.values() if any(map(only, record.rows))]
    blobs = history.files(start, [f"records/{record.id}.npz" for record in there]) if there else {}
    data = dict(zip(blobs, history.contents(list(blobs.values())), strict=True))

    def before(record: Record) -> dict[int, Resampled]:
        name = f"records/{record.id}.npz"
        return parse_arrays(data[name], record, name) if name in data else {}

    def after(record: Record) -> dict[int, Resampled]:
        own = found.get(record.id)
        if own is None:
            return before(record)
        return parse_arrays(own.arrays, own.record, record.id) if own.arrays else {}

    others = [record for record in there if record.id not in found]
    now = [*others, *(each.record for each in found.values())]
    return tuple(boards(there, before, only)), tuple(boards(now, after, only))
