"""Which paths a change may touch: additions in four folders, everything else by a maintainer or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.boards.history import Change
from harness.submissions.archive import plain

SUBMISSION = re.compile(r"submissions/(?P<id>[^/]+)\.zip")
RECORD = re.compile(r"records/(?P<id>[^/]+)\.json")
ARRAYS = re.compile(r"records/(?P<id>[^/]+)\.npz")
_RERUN = re.compile(r"reruns/[0-9a-f]{16}-[0-9]{1,4}\.json")
_CARD = re.compile(r"cards/[a-z0-9][a-z0-9._-]*\.yaml")
_ONLY_ADDED = ("submissions/", "records/", "reruns/", "cards/")
# What a maintainer may add and change.
_MAINTAINED = ("annotations/", ".github/")
_FILES = ("board.yaml", "README.md", "statement.example.yaml")


@dataclass
class Sorted:
    """The changes of one pull request: files of submissions by id, and what is wrong with the others."""

    submissions: dict[str, Change] = field(default_factory=dict)
    records: dict[str, Change] = field(default_factory=dict)
    arrays: dict[str, Change] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def replaced(self) -> set[str]:
        """Ids whose record is not new but changed."""
        return {name for name, change in self.records.items() if change.kind == "M"}


def sort_changes(changes: Iterable[Change], maintainer: bool) -> Sorted:
    """Return the changes by what they are; each that is not allowed is a problem that names its path."""
    found = Sorted()
    kinds = ((SUBMISSION, found.submissions, "A"), (RECORD, found.records, "AM"), (ARRAYS, found.arrays, "AM"))
    for change in changes:
        for pattern, kept, allowed in kinds:
            if (match := pattern.fullmatch(change.path)) and change.kind in allowed:
                if change.regular:
                    kept[match["id"]] = change
                else:
                    found.problems.append(f"{plain(change.path)}: is no regular file")
                break
        else:
            found.problems += [f"{plain(change.path)}: {reason}" for reason in _refused(change, maintainer)]
    # Whether an earlier record may be replaced is seen from its content; what it is ranked by goes with it.
    for name in found.arrays.keys() - found.replaced:
        if (change := found.arrays[name]).kind == "M":
            del found.arrays[name]
            found.problems += [f"{plain(change.path)}: {reason}" for reason in _refused(change, maintainer)]
    return found


def _refused(change: Change, maintainer: bool) -> Iterator[str]:
    """Why a path that is no new file of a submission may not change; nothing where it may."""
    path = change.path
    if path.startswith(_ONLY_ADDED):
        if change.kind != "A":
            did = {"D": "deleted (or renamed)", "M": "changed"}.get(change.kind, "replaced")
            yield f"was {did}; what is in {path.split('/')[0]}/ stays as it is, files are only added"
        elif not (_RERUN.fullmatch(path) or _CARD.fullmatch(path)):
            yield "has a name that no file there has"
        elif not maintainer:
            yield "is for a maintainer to add (--maintainer)"
        elif not change.regular:
            yield "is no regular file"
    elif path in _FILES or path.startswith(_MAINTAINED):
        if not maintainer:
            yield "is for a maintainer to change (--maintainer)"
        elif change.kind != "D" and not change.regular:
            yield "is no regular file"
    else:
        yield "has no place in this repository; a submission adds files to submissions/ and records/ alone"
