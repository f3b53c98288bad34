"""What a submission holds, and reading one: nothing is executed, unpacked to disk or believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from harness.io.digests import digest
from harness.records.history import History
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import GroundTruth
from harness.submissions.archive import StoredZip, plain
from harness.submissions.arrays import parse_predictions

FORMAT = 1
FILES = ("history.json", "predictions.npz", "run.json")
# Bytes of each file at most.
_JSON = 16 << 20
_LIMITS = {"history.json": _JSON, "predictions.npz": 512 << 20, "run.json": _JSON}
_HASH = r"^[0-9a-f]{64}$"
# A run id is a folder in the file and a page on the site.
_RUN_ID = re.compile(r"[^/\\\x00-\x1f\x7f:.][^/\\\x00-\x1f\x7f:]{0,250}")

_Hash = Annotated[str, Field(pattern=_HASH)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packed(_Part):
    """One run in the manifest: hash of the ground truth that its metrics were computed with, hash of each file."""

    truth: _Hash
    files: dict[str, _Hash]


class Manifest(_Part):
    """The table of contents; `runs` by run id."""

    format: Literal[1]
    harness: str
    runs: dict[str, Packed]


@dataclass(frozen=True, eq=False)
class Entry:
    """One submitted run as it claims to be. `truth` is the hash of the ground truth it says it was scored against.

    `changed` names the files whose content is not what the manifest says.
    """

    id: str
    result: RunResult
    predictions: Predictions
    history: History
    truth: str
    changed: tuple[str, ...]


def truth_hash(truth: GroundTruth) -> str:
    """Hash of everything that a ground truth says."""
    return digest(json.dumps(truth.to_dict(), sort_keys=True))


def read(path: Path) -> list[Entry]:
    """Return the runs in a submission, by id.

    Raises:
        UserError: the file cannot be read as a submission; a run that is readable but false is no error here.
    """
    try:
        with path.open("rb") as stream:
            return _entries(StoredZip(stream, str(path)), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _entries(archive: StoredZip, where: str) -> list[Entry]:
    content = _json(archive.read("manifest.json", _JSON), f"{where}: manifest.json")
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise UserError(f"{where}: a submission of format {plain(str(content['format']))}; this harness reads {FORMAT}")
    manifest = _model(Manifest, content, f"{where}: manifest.json")
    if not manifest.runs:
        raise UserError(f"{where}: manifest.json names no run")
    expected = {"manifest.json", *(f"runs/{name}/{file}" for name in manifest.runs for file in FILES)}
    if unknown := sorted(set(archive.names) - expected):
        raise UserError(f"{where}: unknown entry {plain(unknown[0])!r}")
    entries = []
    for name, packed in sorted(manifest.runs.items()):
        data = {file: archive.read(f"runs/{name}/{file}", _LIMITS[file]) for file in FILES}
        entries.append(parse_entry(name, data, packed, f"{where}: run {plain(name)}"))
    return entries


def parse_entry(name: str, data: Mapping[str, bytes], packed: Packed, where: str) -> Entry:
    """Return the run `name` whose files hold `data`; `where` names it in errors.

    Raises:
        UserError: the id is none, or a file is not what its name says.
    """
    if not _RUN_ID.fullmatch(name) or not name.isprintable():
        raise UserError(f"{where}: {plain(name)!r} is no run id")
    if set(packed.files) != set(FILES):
        raise UserError(f"{where}: expected the hashes of {', '.join(FILES)}")
    result = _model(RunResult, _json(data["run.json"], f"{where}, run.json"), f"{where}, run.json")
    # A text such as "nan" is taken as a number too.
    _json(json.dumps(result.model_dump()).encode(), f"{where}, run.json")
    for field, value in (result.cost.model_dump() if result.cost else {}).items():
        if not 0 <= value <= 1e18:
            raise UserError(f"{where}, run.json: field cost.{field}: {value:g} is no such figure")
    history = _json(data["history.json"], f"{where}, history.json")
    return Entry(
        id=name,
        result=result,
        predictions=parse_predictions(data["predictions.npz"], f"{where}, predictions.npz"),
        history=_model(History, history, f"{where}, history.json"),
        truth=packed.truth,
        changed=tuple(file for file in FILES if digest(data[file]) != packed.files[file]),
    )


def _json(data: bytes, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a field is there twice")
        return dict(pairs)

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no number")

    def whole(digits: str) -> int:
        if len(digits) > 18:
            raise ValueError(f"{digits[:9]}... is too large a number")
        return int(digits)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse, parse_int=whole)
        _check_depth(value, 50)
        # Half a surrogate pair cannot be written to a page, nor 1e999 to a table.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
        return value
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not a readable JSON file ({plain(str(error))})") from error


def _check_depth(value: Any, left: int) -> None:
    if not left:
        raise ValueError("it is nested too deeply")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(part, left - 1)


_Model = TypeVar("_Model", bound=BaseModel)


def _model(kind: type[_Model], content: Any, where: str) -> _Model:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = plain(".".join(map(str, first["loc"])))
        raise UserError(f"{where}: field {field}: {plain(first['msg'])}") from error
