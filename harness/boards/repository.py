"""The directory of a results repository: its rules, cards and annotations, its records and reruns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.boards.record import ID, JSON_LIMIT, NPZ_LIMIT, Record, Resampled, parse_arrays, trusted_record
from harness.boards.reruns import RERUN, Rerun, parse_rerun
from harness.boards.settings import FILE, Settings, parse_settings
from harness.data.card import DatasetCard, read_card
from harness.errors import UserError
from harness.names import is_card_name
from harness.submissions.archive import plain

# A card is a few pages.
_CARD_LIMIT = 1 << 20


@dataclass(frozen=True)
class Repository:
    """A results repository in `directory`."""

    directory: Path

    @cached_property
    def settings(self) -> Settings:
        """Its rules; raises UserError where there are none, or they are of another protocol."""
        path = self.directory / FILE
        try:
            return parse_settings(_text(path), str(path))
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file; `harness board init DIR` makes a results repository") from error

    def card(self, dataset: str) -> DatasetCard:
        """Return the repository's own card of a data set, `NAME` or `NAME@VARIANT`.

        Raises:
            UserError: it has none, or no such variant.
        """
        base, _, variant = dataset.partition("@")
        path = self.directory / "cards" / f"{base}.yaml"
        if not is_card_name(base) or not path.is_file() or path.is_symlink():
            known = ", ".join(sorted(each.stem for each in (self.directory / "cards").glob("*.yaml")))
            raise UserError(f"data set {plain(dataset)} is not one of this repository's: {known}")
        if path.stat().st_size > _CARD_LIMIT:
            raise UserError(f"{path}: too large for a card")
        card = read_card(path)
        if card.name != base:
            raise UserError(f"{path}: field name: is {card.name}, the file is of {base}")
        return card.variant(variant) if variant else card

    def annotations(self, dataset: str) -> tuple[Path, ...]:
        """Return the directory of a data set's annotation files, nothing where there is none."""
        path = self.directory / "annotations" / dataset.partition("@")[0]
        return (path,) if path.is_dir() and any(path.iterdir()) else ()

    def submission(self, name: str) -> Path:
        """Return where the submission of this id lies, or will."""
        return self.directory / "submissions" / f"{name}.zip"

    def record_path(self, name: str) -> Path:
        """Return where the record of this id lies, or will."""
        return self.directory / "records" / f"{name}.json"

    def arrays_path(self, name: str) -> Path:
        """Return where what the rows of this record are ranked by lies, or will."""
        return self.directory / "records" / f"{name}.npz"

    @property
    def ids(self) -> list[str]:
        """The ids of all records, sorted."""
        names = (path.name.removesuffix(".json") for path in (self.directory / "records").glob("*.json"))
        return sorted(name for name in names if re.match(ID, name))

    def record(self, name: str) -> Record:
        """Return a record; raises UserError where there is none of this id, or it is damaged."""
        path = self.record_path(name)
        if not re.match(ID, name) or not path.is_file():
            raise UserError(f"{self.directory}: no record {plain(name)}; ids are the names in records/")
        return trusted_record(_bytes(path, JSON_LIMIT), str(path))

    def records(self) -> Iterator[Record]:
        """Yield all records, by id; raises UserError for a damaged one."""
        for name in self.ids:
            yield self.record(name)

    def arrays(self, record: Record) -> dict[int, Resampled]:
        """Return what the rows of a record are ranked by; raises UserError where that is damaged."""
        path = self.arrays_path(record.id)
        return parse_arrays(_bytes(path, NPZ_LIMIT), record, str(path)) if path.is_file() else {}

    def reruns(self) -> dict[str, list[Rerun]]:
        """Return the reruns by the id of what was trained again, in order; raises UserError for a damaged one."""
        found: dict[str, list[Rerun]] = {}
        for path in sorted((self.directory / "reruns").glob("*.json")):
            if (match := RERUN.fullmatch(path.name)) is not None:
                found.setdefault(match["id"], []).append(parse_rerun(_bytes(path, JSON_LIMIT), str(path)))
        return found


def _text(path: Path) -> str:
    try:
        return _bytes(path, _CARD_LIMIT).decode("utf-8")
    except ValueError as error:
        raise UserError(f"{path}: is not UTF-8") from error


def _bytes(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise UserError(f"{path}: has {size:,} bytes, at most {limit:,} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
