"""`harness.load_runs`: the finished runs below a directory, with their predictions and histories."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from harness.errors import Damaged, UserError
from harness.records import run_directory
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.truth import GroundTruth

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run on disk. Its files are read when they are asked for, and checked to be what the run wrote."""

    _files: run_directory.RunDirectory

    @property
    def directory(self) -> Path:
        """Where its files lie."""
        return self._files.directory

    @property
    def result(self) -> RunResult:
        """What was asked for, and what came out."""
        return self._files.result

    @property
    def id(self) -> str:
        """Its id, which is also the name of its directory."""
        return self._files.result.id

    @property
    def method(self) -> str:
        """The name of its method."""
        return self._files.result.method

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return self._files.result.dataset

    @property
    def seed(self) -> int:
        """Its seed."""
        return self._files.result.seed

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics, fractions by name."""
        return dict(self._files.result.metrics)

    @cached_property
    def predictions(self) -> Predictions:
        """The scores of the test set; `predictions["video"]` are those of one video, `[T]`."""
        return self._files.predictions()

    @cached_property
    def truth(self) -> GroundTruth:
        """The ground truth that the scores were scored against."""
        return self._files.truth()

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch: step, mean loss and its terms, learning rates, seconds; none where nothing was trained."""
        import pandas as pd

        rows = []
        for epoch in self._files.history().epochs:
            terms = {f"loss_{name}": value for name, value in epoch.terms.items()}
            rates = {f"lr_{index}": rate for index, rate in enumerate(epoch.lr)}
            facts = {"epoch": epoch.epoch, "step": epoch.step, "loss": epoch.loss}
            rows.append(facts | terms | rates | {"seconds": epoch.seconds})
        frame: pd.DataFrame = pd.DataFrame(rows)
        return frame


class Runs(Sequence[Run]):
    """Finished runs, by run id."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per run: what was asked for, its metrics as fractions, its cost, and where it lies."""
        import pandas as pd

        names = ("id", "method", "dataset", "features", "selection", "seed", "status")
        rows = []
        for run in self._runs:
            result = run.result
            preset = result.spec.preset if result.spec else ""
            facts = {name: getattr(result, name) for name in names} | {"preset": preset}
            paid = result.cost.model_dump() if result.cost else {}
            rows.append(facts | result.metrics | paid | {"directory": str(run.directory)})
        frame: pd.DataFrame = pd.DataFrame(rows)
        return frame

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


def load_runs(directory: str | Path = "runs") -> Runs:
    """Return the finished runs below a directory, or the one that it is; nothing is written.

    A run whose record is damaged is left out and warned of.

    Raises:
        UserError: there is no such directory.
    """
    place = Path(directory)
    if not place.is_dir():
        raise UserError(f"{place}: no such directory; expected one of runs, or a run's")
    found = []
    records = [place / run_directory.RECORD] if (place / run_directory.RECORD).is_file() else place.glob("*/run.json")
    for record in sorted(records):
        try:
            files = run_directory.open_run(record.parent)
        except Damaged as error:
            warnings.warn(str(error), RuntimeWarning, stacklevel=2)
            continue
        if files.result.status == "ok":
            found.append(Run(files))
    return Runs(found)
