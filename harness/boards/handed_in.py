"""The submissions of a pull request, one by one: verified anew, with the record and arrays that they must have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.boards.add import Found, Rejected, verify
from harness.boards.agreement import differences, same_arrays
from harness.boards.allowed_changes import Sorted
from harness.boards.history import History
from harness.boards.record import JSON_LIMIT, NPZ_LIMIT, Record, arrays_bytes, parse_arrays, parse_record
from harness.boards.repository import Repository
from harness.errors import UserError
from harness.io.digests import file_digest
from harness.submissions.archive import plain

# Bytes of one submission, and how many one pull request may add.
_ZIP_LIMIT, _MOST = 1 << 30, 100


@dataclass
class HandedIn:
    """What holds of a pull request's submissions, and a line for each thing that does not."""

    found: list[Found] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Examiner:
    """Verifies submissions of `changes` with what `repository` has; `earlier` are the records of the merge base."""

    history: History
    changes: Sorted
    repository: Repository
    earlier: Mapping[str, Record]
    imported: bool

    def examine(self, scratch: Path) -> HandedIn:
        """Return what is found of all of them; `scratch` is a directory for files."""
        result = HandedIn()
        names = sorted({*self.changes.submissions, *self.changes.replaced})
        if len(names) > _MOST:
            result.problems.append(f"{len(names)} submissions in one pull request, at most {_MOST} are looked at")
        for name in names[:_MOST]:
            try:
                found = self._verified(name, scratch / "submission.zip")
                wrong = [*self._record(found), *self._arrays(found)] if found else []
                result.problems += wrong
                result.found += [found] if found and not wrong else []
            except Rejected as error:
                result.problems += [f"submissions/{plain(name)}.zip: {reason}" for reason in error.reasons]
            except UserError as error:
                result.problems.append(str(error))
        for place, files in (("json", self.changes.records), ("npz", self.changes.arrays)):
            for name in sorted(files.keys() - set(names)):
                result.problems.append(f"records/{plain(name)}.{place}: no submission of this name is added with it")
        return result

    def _verified(self, name: str, path: Path) -> Found:
        where = f"submissions/{plain(name)}.zip"
        added, place = self.changes.submissions.get(name), f"submissions/{name}.zip"
        blob = added.blob if added else self.history.files("HEAD", [place]).get(place)
        if blob is None:
            raise UserError(f"{where}: is not there, but its record changes")
        if (size := self.history.size(blob)) > _ZIP_LIMIT:
            raise UserError(f"{where}: has {size:,} bytes, at most {_ZIP_LIMIT:,} are read")
        self.history.save(blob, path)
        if name != (own := file_digest(path)[:16]):
            raise UserError(f"{where}: its name is not its hash, {own}; `harness board add` gives it that")
        return verify(path, self.repository, where, self.imported)

    def _record(self, found: Found) -> Iterator[str]:
        """Why the record of a submission is not what it must be."""
        name = found.record.id
        where, again = f"records/{name}.json", f"harness board add submissions/{name}.zip"
        change = self.changes.records.get(name)
        if change is None:
            yield f"{where}: is missing; write it with `{again}`"
            return
        earlier = self.earlier.get(name)
        if change.kind == "M" and (earlier is None or earlier.verified or not found.record.verified):
            yield f"{where}: was changed; a record changes once at most, from not verified to verified"
            return
        try:
            data = self.history.content(change.blob, JSON_LIMIT, where)
            claimed = parse_record(data, where)
        except UserError as error:
            yield str(error)
            return
        if wrong := differences(claimed, found.record):
            yield from (f"{where}: {line}" for line in wrong)
            made = f" (it was written by harness {plain(claimed.harness)})"
            other = made if claimed.harness != found.record.harness else ""
            yield (
                f"{where}: is not what verification finds here{other}; delete it and write it anew with "
                f"`{again} --only-repository`"
            )
        elif claimed.to_bytes() != data:
            yield f"{where}: is not written as `{again}` writes it"

    def _arrays(self, found: Found) -> Iterator[str]:
        """Why what the rows of a submission are ranked by is not what its scores give."""
        name = found.record.id
        where, again = f"records/{name}.npz", f"`harness board add submissions/{name}.zip`"
        change = self.changes.arrays.get(name)
        blob = change.blob if change else self.history.files("HEAD", [where]).get(where)
        if name not in self.changes.records:  # which says it all
            return
        if blob is None and found.arrays:
            yield f"{where}: is missing; write it with {again}"
        elif blob is not None and not found.arrays:
            yield f"{where}: belongs to no verified row"
        elif blob is not None:
            try:
                data = self.history.content(blob, NPZ_LIMIT, where)
                claimed = parse_arrays(data, found.record, where)
            except UserError as error:
                yield str(error)
                return
            if not same_arrays(claimed, parse_arrays(found.arrays, found.record, where)):
                yield f"{where}: is not what its scores give; write it anew with {again}"
            elif arrays_bytes(claimed) != data:
                yield f"{where}: is not written as {again} writes it"
