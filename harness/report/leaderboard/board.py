"""What a leaderboard is: boards of rows, in a form that becomes JSON, a page or a table."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.report.leaderboard.published import Published
from harness.report.leaderboard.questions import Question
from harness.report.throughput import board as throughput_board
from harness.report.throughput.board import SpeedBoard
from harness.tracking.tracker import TrackedRun

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Figure:
    """Mean over seeds with its two sources of chance, as far as they are known.

    `sd` is the sample standard deviation between seeds, None for one seed. `videos_low`, `videos_high`: 95% interval
    over test videos alone, which speaks of these weights. `low`, `high`: 95% interval of the method, over seeds and
    test videos; None for one seed, which says nothing of other seeds.
    """

    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    videos_low: float | None = None
    videos_high: float | None = None

    @property
    def widest(self) -> tuple[float, float] | None:
        """The interval of the method, else that of these weights."""
        if self.low is not None and self.high is not None:
            return self.low, self.high
        if self.videos_low is not None and self.videos_high is not None:
            return self.videos_low, self.videos_high
        return None


@dataclass(frozen=True)
class Pace:
    """Video frames per second from features, as `harness bench` or the row's own test pass measured them.

    `where` says on what: hardware, device, arithmetic and threads.
    """

    frames_per_second: float
    measured: Literal["bench", "test pass"]
    where: str


@dataclass(frozen=True)
class Row:
    """One method with one config, preset, selection rule, text tower, scale, origin and arithmetic, over its seeds.

    `family` is "mil", "clip" or "floor", "" for a method that is not installed here. `rank` counts from 1; rows that
    cannot be told apart share it, and `shared` says whether others do. Rows of one seed have none, nor those that
    chose their weights on the test set.
    `origin` says whether the weights were trained here ("trained") or given: "checkpoint", or "inference-only" where
    the method's training was never published; "imported" are scores of another program. `checkpoint` is the hash of
    given weights.
    Metrics are fractions. `oracle_gap` is what choosing the weights on the test set gains in the primary metric.
    `stability` is how far rounding alone moves the frame AUC at one seed, the worst of the row's seeds; None where it
    was not measured.
    `pace` is how fast it is, see `harness.report.throughput.paces`; None for scores of others.
    `fidelity` counts the parity cases that the row's own code passed, stage by stage, "" where none was run with it.
    `unchecked`: for some of its runs nothing says that the method passed `harness check-method` with their code.
    Times in seconds, means over seeds. `runs` are run ids by seed, `members` the runs themselves.
    """

    method: str
    title: str
    family: str
    ablation: str
    preset: str
    selection: str
    origin: str
    checkpoint: str
    arithmetic: str
    text_tower: str
    scale: float
    config_hash: str
    config: dict[str, Any]
    seeds: tuple[int, ...]
    metrics: dict[str, Figure]
    class_auc: dict[str, Figure]
    fidelity: str
    oracle_gap: float | None
    parameters: int | None
    train_seconds: float | None
    test_frames_per_second: float | None
    published: dict[str, Published]
    runs: tuple[str, ...]
    code: tuple[str, ...]
    provenance: dict[str, tuple[str, ...]]
    members: tuple[TrackedRun, ...] = field(repr=False, compare=False)
    rank: int | None = None
    shared: bool = False
    stability: float | None = None
    unchecked: bool = False
    pace: Pace | None = None

    @property
    def honest(self) -> bool:
        """Whether its weights were chosen without a look at the test set."""
        return self.selection not in ("oracle", "paper")

    @property
    def claim(self) -> str:
        """Of what its numbers speak: "method" with several seeds, "weights" with one."""
        return "method" if len(self.seeds) > 1 else "weights"


@dataclass(frozen=True)
class OpenPair:
    """Two rows that share the first rank, so nothing is known of which is better.

    `difference` is A's lead in the primary metric, as a fraction, with its 95% interval over seeds and test videos.
    `seeds` is how many each has now, `needed` how many of each would show a difference of this size with a probability
    of 80%, None where no number of seeds would on these test videos.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    seeds: int
    needed: int | None


@dataclass(frozen=True)
class Board:
    """The rows that may be compared: same data set, features, protocol and test videos; best primary metric first.

    `partial` says what was there of an incomplete data set, "" if all of it; `asked` is the question they answer.
    """

    title: str
    dataset: str
    features: str
    feature_hash: str
    dataset_hash: str
    protocol: str
    primary: str
    videos: int
    frames: int
    excluded: tuple[str, ...]
    metrics: tuple[str, ...]
    cautions: tuple[str, ...]
    rows: tuple[Row, ...]
    open_pairs: tuple[OpenPair, ...] = ()
    partial: str = ""
    asked: Question = field(default_factory=Question)


@dataclass(frozen=True)
class Transfer:
    """One row of one board of a matrix: a method trained on `trained_on` and tested on `tested_on`.

    `figure` is its primary `metric`, `rank` and `shared` are those of its row. `drop` is what the same method has more
    where it was trained on the data set of the test, as a fraction, with its 95% interval over seeds and test videos;
    None where nobody trained it there, and no interval with one seed.
    """

    method: str
    title: str
    trained_on: str
    tested_on: str
    features: str
    metric: str
    seeds: int
    figure: Figure
    rank: int | None
    shared: bool = False
    drop: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Transfers:
    """All moves between data sets, and each method's average rank over the boards on which all of them stand."""

    cells: tuple[Transfer, ...] = ()
    average_ranks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Failure:
    """A run that ended in an error; `log` is the end of its log."""

    run: str
    method: str
    dataset: str
    seed: int
    selection: str
    error: str
    log: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """All boards, and the failures apart from them; `notices` say what its sources did not bring, or only claim.

    `missing` has one line for each finished run that could not be read and so stands on no board. `throughput` is what
    `harness bench` measured.
    """

    boards: tuple[Board, ...]
    failures: tuple[Failure, ...] = ()
    transfers: Transfers = field(default_factory=Transfers)
    notices: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    throughput: tuple[SpeedBoard, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row per row of every board, with the columns of `leaderboard.csv`; metrics as fractions."""
        import pandas as pd

        from harness.report.tables import columns_and_rows

        columns, rows = columns_and_rows(self)
        frame: pd.DataFrame = pd.DataFrame(rows, columns=columns)
        return frame

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        primary = [f"{board.primary}{part}" for board in self.boards[:1] for part in ("", "_sd", "_low", "_high")]
        shown = ["dataset", "features", "rank", "method", "preset", "selection", "seeds", *primary]
        return str(frame[[name for name in shown if name in frame]].to_html(index=False))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "boards": [board_dict(board) for board in self.boards],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
            "transfers": dataclasses.asdict(self.transfers),
            "notices": list(self.notices),
            "throughput": [throughput_board.board_dict(board) for board in self.throughput],
        }


def board_dict(board: Board) -> dict[str, Any]:
    """Return a JSON-ready form of one board."""
    rows = [
        {
            **{f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name != "members"},
            "claim": row.claim,
        }
        for row in board.rows
    ]
    plain = {f.name: getattr(board, f.name) for f in dataclasses.fields(board) if f.name != "rows"}
    return dict(json.loads(json.dumps({**plain, "rows": rows}, default=dataclasses.asdict)))
