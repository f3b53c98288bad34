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
from harness.submissions.statement import Statement, parse_statement

FORMAT = 1
FILES = ("history.json", "predictions.npz", "run.json")
STATEMENT = "statement.json"
# Bytes of each file at most.
_JSON = 16 << 20
_LIMITS = {"history.json": _JSON, "predictions.npz": 512 << 20, "run.json": _JSON, STATEMENT: 1 << 16}
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
    """The table of contents; `runs` by run id. `statement` is the hash of `statement.json`, left out without one."""

    format: Literal[1]
    harness: str
    runs: dict[str, Packed]
    statement: _Hash | None = None

    def to_bytes(self) -> bytes:
        """Return the content of `manifest.json`; what is not there is not said, as before it could be."""
        return self.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"


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


@dataclass(frozen=True, eq=False)
class Submission:
    """What a file holds: the runs, by id, and what the team says of them, None where it says nothing."""

    entries: tuple[Entry, ...]
    statement: Statement | None = None


def truth_hash(truth: GroundTruth) -> str:
    """Hash of everything that a ground truth says."""
    return digest(json.dumps(truth.to_dict(), sort_keys=True))


def read(path: Path) -> list[Entry]:
    """Return the runs in a submission, by id; raises UserError as `read_submission`."""
    return list(read_submission(path).entries)


def read_submission(path: Path, where: str = "") -> Submission:
    """Return what a submission holds; `where` names it in errors, "" for its path.

    Raises:
        UserError: the file cannot be read as a submission; a run that is readable but false is no error here.
    """
    try:
        with path.open("rb") as stream:
            return _submission(StoredZip(stream, where or str(path)), where or str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def _submission(archive: StoredZip, where: str) -> Submission:
    content = parse_json(archive.read("manifest.json", _JSON), f"{where}: manifest.json")
    if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
        raise UserError(f"{where}: a submission of format {plain(str(content['format']))}; this harness reads {FORMAT}")
    manifest = _model(Manifest, content, f"{where}: manifest.json")
    if not manifest.runs:
        raise UserError(f"{where}: manifest.json names no run")
    expected = {"manifest.json", *(f"runs/{name}/{file}" for name in manifest.runs for file in FILES)}
    expected |= {STATEMENT} if manifest.statement else set()
    if unknown := sorted(set(archive.names) - expected):
        raise UserError(f"{where}: unknown entry {plain(unknown[0])!r}")
    entries = []
    for name, packed in sorted(manifest.runs.items()):
        data = {file: archive.read(f"runs/{name}/{file}", _LIMITS[file]) for file in FILES}
        entries.append(parse_entry(name, data, packed, f"{where}: run {plain(name)}"))
    return Submission(tuple(entries), _statement(archive, manifest, where))


def _statement(archive: StoredZip, manifest: Manifest, where: str) -> Statement | None:
    if manifest.statement is None:
        return None
    data = archive.read(STATEMENT, _LIMITS[STATEMENT])
    if digest(data) != manifest.statement:
        raise UserError(f"{where}: {STATEMENT} was changed: its hash is not the one in the manifest")
    return parse_statement(parse_json(data, f"{where}: {STATEMENT}"), f"{where}: {STATEMENT}")


def parse_entry(name: str, data: Mapping[str, bytes], packed: Packed, where: str) -> Entry:
    """Return the run `name` whose files hold `data`; `where` names it in errors.

    Raises:
        UserError: the id is none, or a file is not what its name says.
    """
    if not _RUN_ID.fullmatch(name) or not name.isprintable():
        raise UserError(f"{where}: {plain(name)!r} is no run id")
    if set(packed.files) != set(FILES):
        raise UserError(f"{where}: expected the hashes of {', '.join(FILES)}")
    result = _model(RunResult, parse_json(data["run.json"], f"{where}, run.json"), f"{where}, run.json")
    # A text such as "nan" is taken as a number too.
    parse_json(json.dumps(result.model_dump()).encode(), f"{where}, run.json")
    for field, value in (result.cost.model_dump() if result.cost else {}).items():
        if not 0 <= value <= 1e18:
            raise UserError(f"{where}, run.json: field cost.{field}: {value:g} is no such figure")
    history = parse_json(data["history.json"], f"{where}, history.json")
    return Entry(
        id=name,
        result=result,
        predictions=parse_predictions(data["predictions.npz"], f"{where}, predictions.npz"),
        history=_model(History, history, f"{where}, history.json"),
        truth=packed.truth,
        changed=tuple(file for file in FILES if digest(data[file]) != packed.files[file]),
    )


def parse_json(data: bytes, where: str) -> Any:
    """Return a stranger's JSON document.

    Raises:
        UserError: it is none, says a field twice, is nested deeper than 50, or has numbers that JSON has not.
    """

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
