"""A submission is verified with what a repository has, and becomes one of its records."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.record import FORMAT, Record, arrays_bytes
from harness.boards.repository import Repository
from harness.boards.rows import Cards, rows_of
from harness.errors import UserError
from harness.io.atomic import replacing
from harness.io.digests import file_digest
from harness.names import is_method_name
from harness.submissions.archive import plain
from harness.submissions.bundle import Entry, Submission, read_submission
from harness.submissions.judge import Judgement, judge
from harness.version import __version__

# As many lines of reasons as a message holds.
_LISTED = 10


@dataclass(frozen=True)
class Found:
    """The record of a submission, and the bytes of the two files that hold it; `arrays` is b"" without any."""

    record: Record
    document: bytes
    arrays: bytes


class Rejected(UserError):
    """A submission does not hold; `reasons` say why, one line each."""

    exit_code = 1

    def __init__(self, where: str, reasons: Sequence[str]) -> None:
        more = f"; {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
        super().__init__(f"{where}: rejected: {'; '.join(reasons[:_LISTED])}{more}")
        self.reasons = tuple(reasons)


def add(path: Path, repository: Repository, imported: bool = True) -> Found:
    """Verify a submission, copy it into the repository and write its record; return that.

    A submission that is there without a record gets one, and one that could not be verified gets its record anew where
    it now can. Data sets `imported` on this machine count as the repository's own cards and annotations do.

    Raises:
        Rejected: it does not hold.
        UserError: it cannot be read, is there already, or is of a data set that the repository does not have.
    """
    found = verify(path, repository, imported=imported)
    record, target = found.record, repository.submission(found.record.id)
    place = repository.record_path(record.id)
    if place.exists():
        earlier = repository.record(record.id)
        if earlier.verified or not record.verified:
            raise UserError(f"{path}: is there already, as {target}")
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(path, temporary)
    for file, data in ((repository.arrays_path(record.id), found.arrays), (place, found.document)):
        if data:
            with replacing(file) as temporary:
                temporary.write_bytes(data)
    return found


def verify(path: Path, repository: Repository, where: str = "", imported: bool = True) -> Found:
    """Return what a record of the submission in a file must be; `where` names it in errors, "" for its path.

    Raises:
        Rejected: it does not hold.
        UserError: as `add`.
    """
    where = where or str(path)
    settings = repository.settings
    submission = read_submission(path, where)
    cards = _cards(submission, repository, where)
    judged = [
        judge(entry, cards[entry.result.dataset], repository.annotations(entry.result.dataset), imported)
        for entry in submission.entries
    ]
    _check(judged, where)
    rows, arrays = rows_of(judged, cards, settings, submission.statement)
    if not rows:
        raise Rejected(where, ["it holds no result: its runs only show how others round"])
    sha256 = file_digest(path)
    # In words that are the same on every machine.
    unknown = sorted({(entry.result.dataset, entry.result.features) for entry in _unverified(judged)})
    unverified = [f"no ground truth of {plain(data)}/{plain(features)} is here" for data, features in unknown]
    record = Record(
        format=FORMAT,
        id=sha256[:16],
        sha256=sha256,
        size=path.stat().st_size,
        harness=__version__,
        verified=not unverified,
        unverified=tuple(unverified),
        statement=submission.statement,
        rows=tuple(rows),
    )
    return Found(record, record.to_bytes(), arrays_bytes(arrays) if arrays else b"")


def _unverified(judged: Sequence[Judgement]) -> list[Entry]:
    return [each.entry for each in judged if each.verdict != "accepted"]


def _cards(submission: Submission, repository: Repository, where: str) -> Cards:
    found: Cards = {}
    for entry in submission.entries:
        try:
            found[entry.result.dataset] = repository.card(entry.result.dataset)
        except UserError as error:
            raise Rejected(where, [f"run {entry.id}: {error}"]) from error
    return found


def _check(judged: Sequence[Judgement], where: str) -> None:
    reasons = []
    for each in judged:
        if each.verdict == "rejected":
            reasons += [f"run {each.entry.id}: {reason}" for reason in each.reasons]
        elif not is_method_name(each.entry.result.method):
            reasons.append(f"run {each.entry.id}: its method has a name that no method may have")
    if reasons:
        raise Rejected(where, reasons)
