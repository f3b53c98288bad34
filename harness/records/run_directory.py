"""A finished run on disk: the one place that writes `run.json` and the one that reads it.

`run.json` says which hash it has itself, and which the files beside it have. Whatever is read of a run is what the run
wrote; a run of an earlier version, which says no hashes, is read as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.errors import Damaged, UserError
from harness.io.atomic import read_json, write_json
from harness.io.digests import DIGEST, digest, file_digest, intact, signed
from harness.records.history import History, read_history
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import GroundTruth

RECORD = "run.json"
# Weights, and beside them the card of the data set whose classes they know.
WEIGHTS, CARD = "checkpoint.safetensors", "card.yaml"
AGAIN = "compute the run again with `harness run --rerun`, or copy it again from where it is whole"


@dataclass(frozen=True)
class RunDirectory:
    """A run that ended. `content` is the hash of its `run.json`."""

    directory: Path
    result: RunResult
    content: str

    def file(self, name: str) -> Path:
        """Return the path of a file of the run, whose content is what the run wrote.

        Raises:
            UserError: it is missing.
            Damaged: it is not what the run wrote.
        """
        return unchanged(self.directory / name, self.result)

    def predictions(self) -> Predictions:
        """Return the scores of the test set; raises UserError as `file`."""
        return Predictions.load(self.file("predictions.npz"))

    def truth(self) -> GroundTruth:
        """Return what the scores were scored against; raises UserError as `file`."""
        return GroundTruth.load(self.file("truth.json"))

    def history(self) -> History:
        """Return epochs and looks, none where the run kept none; raises UserError as `file`."""
        kept = (self.directory / "history.json").is_file() or "history.json" in self.result.files
        return read_history(self.file("history.json")) if kept else History()

    def check(self) -> None:
        """Raise UserError unless every file of the run is what the run wrote."""
        for name in self.result.files:
            self.file(name)


def named_run(word: str, out: Path) -> Path | None:
    """Return the run directory that a word names: a directory, or an id below `out`; None for neither."""
    return next((place for place in (Path(word), out / word) if (place / RECORD).is_file()), None)


def open_run(directory: Path) -> RunDirectory:
    """Return the run in a directory.

    Raises:
        UserError: there is none.
        Damaged: its `run.json` is not what was written, or no record of a run.
    """
    path = directory / RECORD
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {'no such file' if not path.exists() else error.strerror}") from error
    document = read_json(path, AGAIN)
    if not isinstance(document, dict):
        raise Damaged(f"{path}: not the record of a run; {AGAIN}")
    if DIGEST in document and not intact(document):
        raise Damaged(f"{path}: damaged, its hash is not that of its content; {AGAIN}")
    try:
        result = RunResult.model_validate({key: value for key, value in document.items() if key != DIGEST})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "file"
        raise Damaged(f"{path}: not the record of a run (field {field}: {first['msg']}); {AGAIN}") from error
    if result.files and DIGEST not in document:
        raise Damaged(f"{path}: damaged, its hash is missing; {AGAIN}")
    return RunDirectory(directory, result, digest(content))


def write_run(directory: Path, result: RunResult) -> None:
    """Write `run.json` beside the other files of a run, which are all there."""
    others = [path for path in sorted(directory.iterdir()) if path.is_file() and path.name != RECORD]
    whole = result.model_copy(update={"files": {path.name: file_digest(path) for path in others}})
    write_json(directory / RECORD, signed(whole.model_dump(mode="json")))


def unchanged(path: Path, result: RunResult) -> Path:
    """Return `path`, a copy of a file of the run of `result`, whose content is what the run wrote.

    Raises:
        UserError: it cannot be read.
        Damaged: it is not what the run wrote.
    """
    recorded = result.files.get(path.name)
    try:
        found = file_digest(path) if recorded is not None or not path.is_file() else None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {AGAIN}") from error
    if found != recorded:
        raise Damaged(f"{path}: damaged, not what the run {result.id} wrote; {AGAIN}")
    return path
