"""What verification found of one submission: the content of `records/ID.json` and `records/ID.npz`."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UserError
from harness.io.digests import digest
from harness.metrics.frame import Floats
from harness.report.leaderboard.board import Figure
from harness.report.leaderboard.keys import Key
from harness.report.leaderboard.published import Published
from harness.report.leaderboard.questions import Question
from harness.submissions.archive import StoredZip, plain, stored
from harness.submissions.bundle import parse_json
from harness.submissions.statement import Statement

FORMAT = 1
# Bytes of a record and of the arrays beside it, at most.
JSON_LIMIT, NPZ_LIMIT = 16 << 20, 256 << 20

Division = Literal["closed", "open"]
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ID = r"^[0-9a-f]{16}$"
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[<|][a-z][0-9])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9]{1,9},(?: [0-9]{1,9})?)\), \} *\n",
    re.DOTALL,
)
# The array that says which test videos are normal, for row 3: `normal3`; the resamples of row 3: `values3`.
_NORMAL, _VALUES = "normal", "values"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BoardKey(_Part):
    """What the rows of one board share, see `harness.report.leaderboard.keys.Key`.

    So do the ground truth, by its hash, and the version of the protocol of metrics.
    """

    dataset: str
    features: str
    feature_hash: str
    dataset_hash: str
    protocol: str
    excluded: tuple[str, ...]
    partial: str
    asked: Question
    truth: _Hash
    protocol_version: int

    @property
    def key(self) -> Key:
        """The same without ground truth and version."""
        return Key(*(getattr(self, name) for name in Key._fields))

    @property
    def digest(self) -> str:
        """Hash of all of it."""
        return digest(self.model_dump_json())


class Row(_Part):
    """The runs of a submission that differ in their seed alone.

    `verified`: the metrics were computed again here, else they are as claimed. `seeds`, `runs`, `scores` and the lists
    in `metrics` go together: seed, run id, hash of the scores, value. `repeated` are seeds that do not count, as their
    scores are bit for bit those of another. `figures` are means over them with their intervals. `reasons`
    say why a row is not in the closed division.
    """

    board: BoardKey
    verified: bool
    method: str
    title: str
    ablation: str
    preset: str
    selection: str
    origin: str
    checkpoint: str
    arithmetic: str
    text_tower: str
    scale: float
    config: dict[str, Any]
    config_hash: str
    primary: str
    videos: int
    frames: int
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    scores: tuple[_Hash, ...]
    repeated: tuple[int, ...]
    metrics: dict[str, tuple[float, ...]]
    figures: dict[str, Figure]
    oracle_gap: float | None
    parameters: int | None
    train_seconds: float | None
    test_frames_per_second: float | None
    code: tuple[str, ...]
    provenance: dict[str, tuple[str, ...]]
    published: dict[str, Published]
    division: Division
    reasons: tuple[str, ...]
    badges: tuple[str, ...]

    @property
    def honest(self) -> bool:
        """Whether its weights were chosen without a look at the test set."""
        return self.selection not in ("oracle", "paper")


class Record(_Part):
    """A submission as it was found, of `size` bytes.

    `unverified` has a line for each thing that could not be computed again. `harness` is the version that wrote it,
    which nothing depends on.
    """

    format: Literal[1]
    id: Annotated[str, Field(pattern=ID)]
    sha256: _Hash
    size: int
    harness: str
    verified: bool
    unverified: tuple[str, ...]
    statement: Statement | None
    rows: tuple[Row, ...]

    def to_bytes(self) -> bytes:
        """Return the content of `records/ID.json`."""
        return self.model_dump_json(indent=1).encode() + b"\n"


@dataclass(frozen=True, eq=False)
class Resampled:
    """The primary metric of a row on the plan of its board, `[seeds, 1 + videos + resamples]`.

    `normal` says which test videos are normal, `[videos]`.
    """

    values: Floats
    normal: NDArray[np.bool_]


def parse_record(data: bytes, where: str) -> Record:
    """Return the record that `Record.to_bytes` wrote.

    Raises:
        UserError: it is none; `where` names it.
    """
    if len(data) > JSON_LIMIT:
        raise UserError(f"{where}: has {len(data):,} bytes, at most {JSON_LIMIT:,} are read")
    parse_json(data, where)  # refuses what is no plain JSON: twice the same field, too deep, numbers without end
    return trusted_record(data, where)


def trusted_record(data: bytes, where: str) -> Record:
    """As `parse_record`, of a record that a check has let in before; raises UserError as it does."""
    try:
        record = Record.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = plain(".".join(map(str, first["loc"])))
        raise UserError(f"{where}: field {field}: {plain(first['msg'])}") from error
    for number, row in enumerate(record.rows):
        lists = (row.runs, row.scores, *row.metrics.values())
        if not row.seeds or any(len(each) != len(row.seeds) for each in lists):
            raise UserError(f"{where}: field rows.{number}: its lists are not as long as its seeds")
    return record


def arrays_bytes(rows: Mapping[int, Resampled]) -> bytes:
    """Return the content of `records/ID.npz`: what the rows of these numbers are ranked by. Equal rows, equal bytes."""
    entries = {}
    for number, row in rows.items():
        for name, array in ((_VALUES, row.values), (_NORMAL, row.normal)):
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            entries[f"{name}{number}.npy"] = stream.getvalue()
    made = io.BytesIO()
    stored(entries, made)
    return made.getvalue()


def parse_arrays(data: bytes, record: Record, where: str) -> dict[int, Resampled]:
    """Return what `arrays_bytes` wrote for the rows of a record.

    Raises:
        UserError: an array is missing, unknown, or of another type or shape than the record asks for.
    """
    if len(data) > NPZ_LIMIT:
        raise UserError(f"{where}: has {len(data):,} bytes, at most {NPZ_LIMIT:,} are read")
    archive = StoredZip(io.BytesIO(data), where)
    numbers = range(len(record.rows))
    if unknown := sorted(set(archive.names) - {f"{name}{i}.npy" for name in (_VALUES, _NORMAL) for i in numbers}):
        raise UserError(f"{where}: unknown array {plain(unknown[0])!r}")
    found = {}
    for number in numbers:
        if f"{_VALUES}{number}.npy" in archive.names:
            values = _array(archive, f"{_VALUES}{number}.npy", "<f8", 2, where)
            normal = _array(archive, f"{_NORMAL}{number}.npy", "|b1", 1, where)
            seeds, videos = len(record.rows[number].seeds), len(normal)
            if len(values) != seeds or values.shape[1] <= 1 + videos:
                raise UserError(f"{where}: {_VALUES}{number} is not of {seeds} seeds and {videos} test videos")
            found[number] = Resampled(values, normal)
    return found


def _array(archive: StoredZip, name: str, dtype: str, axes: int, where: str) -> NDArray[Any]:
    data = archive.read(name, NPZ_LIMIT)
    # Only the one header that is written: NumPy would read any as Python, which takes longer than the numbers.
    header = _HEADER.match(data)
    if header is None or header["dtype"].decode() != dtype:
        raise UserError(f"{where}: {name} is of another type than such arrays have")
    shape = tuple(int(each) for each in header["shape"].split(b",") if each.strip())
    if len(shape) != axes or math.prod(shape) * np.dtype(dtype).itemsize != len(data) - header.end():
        raise UserError(f"{where}: {name} says its shape is {shape}, which its bytes are not")
    return np.frombuffer(data, dtype, offset=header.end()).reshape(shape)
