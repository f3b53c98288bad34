"""`harness.compare`: what separates two or more sides on one test set, and how sure that is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison import result
from harness.comparison.page import write_page
from harness.comparison.sides import ComparedSides, find_sides
from harness.comparison.sources import CompareRequest
from harness.comparison.statistics import compare_sides
from harness.errors import UserError
from harness.records.conditions import parsed
from harness.records.run_filter import RunFilter
from harness.runs.checkpoint_evaluation import Progress
from harness.runs.checkpoint_loading import Say
from harness.runs.devices import device as available

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Verdicts on every pair of sides. `cautions` are what a reader must know of them."""

    result: result.ComparisonResult
    sides: ComparedSides

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader must know."""
        return self.sides.cautions

    def to_frame(self) -> pd.DataFrame:
        """Return one row per pair and metric: difference (a fraction), its interval, p-values, verdict."""
        import pandas as pd

        rows = []
        for verdict in self.result.verdicts:
            row: dict[str, Any] = verdict.as_json()
            row["low"], row["high"] = row.pop("interval")
            row["videos_low"], row["videos_high"] = row.pop("interval_videos")
            rows.append(row)
        frame: pd.DataFrame = pd.DataFrame(rows)
        return frame

    def write_page(self, path: str | Path) -> None:
        """Write the comparison as one self-contained HTML page."""
        found = self.sides
        write_page(Path(path), self.result, found.sides, found.sources, found.truth, found.cautions)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


def compare(
    *sides: str | Path,
    dataset: str | None = None,
    features: str | None = None,
    root: str | Path | None = None,
    preset: str | None = None,
    selection: str | None = None,
    seeds: Iterable[int] = (),
    where: str | None = None,
    text_tower: str | None = None,
    device: str = "cpu",
    resamples: int = 1000,
    out: str | Path = "runs",
) -> Comparison:
    """Compare sides with intervals and verdicts, as `harness compare` does; nothing is written.

    Args:
        sides: two or more, each a run directory, a run id or a method with runs below `out`, a checkpoint,
            METHOD:FILE for official weights, or a prediction file; ONE+OTHER are the seeds of one side.
        dataset: data set that checkpoints and files are of, where they do not say it.
        features: its feature set.
        root: directory of the card's annotation files, in place of an imported data set.
        preset: chooses among the runs of a method.
        selection: chooses among the runs of a method.
        seeds: of a method's runs, those with these seeds; without, all.
        where: of a method's runs, those for which this holds, such as "params.epochs > 5".
        text_tower: for checkpoints that need text.
        device: "cpu" or "cuda", for checkpoints.
        resamples: of the test videos, and permutations.
        out: directory of the runs.

    Raises:
        UserError: a side is not found, or they share no test set.
    """
    only = RunFilter(
        features=() if features is None else (features,),
        seeds=tuple(seeds),
        presets=() if preset is None else (preset,),
        selections=() if selection is None else (selection,),
        where=None if where is None else parsed(where),
    )
    request = CompareRequest(
        words=tuple(map(str, sides)),
        dataset=dataset,
        features=features,
        root=None if root is None else Path(root),
        text_tower=text_tower,
        device=available(device),
        out=Path(out),
        only=only,
    )
    return comparison_of(request, resamples, lambda text: None, _silent)


def comparison_of(request: CompareRequest, resamples: int, say: Say, progress: Progress) -> Comparison:
    """Compare the sides that a request names, and tell what happens meanwhile; raises UserError as `compare`."""
    words = request.sides
    if len(words) < 2:
        raise UserError(f"compare {' '.join(words)}: expected two or more sides: runs, methods, checkpoints or files")
    if request.root is not None and request.dataset is None:
        raise UserError("--root: holds the annotation files of a data set; name it with --dataset")
    found = find_sides(request, say, progress)
    return Comparison(compare_sides(found.sides, found.truth, resamples, permutations=resamples), found)


@contextlib.contextmanager
def _silent(text: str) -> Iterator[Any]:
    yield lambda done, total: None
