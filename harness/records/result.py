"""What came out of a run: the content of `run.json`."""

from __future__ import annotations

from typing import Any, Literal

from harness.records.model import Moment, Record
from harness.records.spec import RunSpec, SelectionRule

Origin = Literal["trained", "checkpoint", "inference-only", "imported"]
Status = Literal["ok", "failed", "skipped"]


class Selection(Record):
    """What the selection rule did.

    `value` is the rule's own criterion at the chosen point (None for `last`). For `oracle`, `gap` is the primary test
    metric at the chosen point minus that after the last step of the same training.
    """

    rule: SelectionRule
    criterion: str
    step: int
    steps: int
    looks: int
    value: float | None = None
    gap: float | None = None


class Cost(Record):
    """What a run cost: wall seconds, throughput of the test pass, parameters without the frozen text tower.

    `wall_seconds` is the whole run from building the method to its published directory, without what an earlier,
    interrupted attempt took.
    """

    train_seconds: float
    predict_seconds: float
    test_snippets_per_second: float
    test_frames_per_second: float
    parameters: int
    trainable_parameters: int
    wall_seconds: float = 0.0


class DataFacts(Record):
    """What a run's features are: the address that the card gives, width, crops, and the sizes of the splits it used.

    The training split counts 0 where nothing was trained; sizes are those before a disturbance. A snippet that is seen
    through several crops counts once.
    """

    source: str = ""
    dim: int
    crops: int = 1
    train_videos: int = 0
    train_snippets: int = 0
    test_videos: int
    test_snippets: int


class RunResult(Record):
    """One finished or failed run; the content of `run.json`. Metric values are fractions in [0, 1].

    `origin` says whether the weights were trained here, or come from a checkpoint, there of a method that can be
    trained or of one that cannot, or whether the scores are those of another program. `log` is the end of the log of a
    failed run. `undefined` names the metrics that are not in `metrics` because the test set leaves them undefined;
    `cautions` say what makes the others doubtful. `files` are the SHA-256 of the files beside `run.json`, by name.
    `started` and `ended` are in milliseconds since 1970, of the attempt that finished; 0 where they are not known, as
    in runs of earlier versions.
    """

    id: str
    method: str
    dataset: str
    features: str
    seed: int
    selection: SelectionRule
    status: Status
    error: str | None = None
    log: str = ""
    metrics: dict[str, float] = {}
    class_auc: dict[str, float] = {}
    undefined: list[str] = []
    cautions: list[str] = []
    videos: int = 0
    frames: int = 0
    excluded: list[str] = []
    selected: Selection | None = None
    cost: Cost | None = None
    spec: RunSpec | None = None
    provenance: dict[str, str] = {}
    origin: Origin = "trained"
    directory: str = ""
    files: dict[str, str] = {}
    data: DataFacts | None = None
    started: Moment = 0
    ended: Moment = 0

    @classmethod
    def of(cls, spec: RunSpec, status: Status, **facts: Any) -> RunResult:
        """A result of the run that `spec` asks for."""
        shared = {name: getattr(spec, name) for name in ("method", "dataset", "features", "seed", "selection")}
        return cls(id=spec.run_id, spec=spec, status=status, **shared, **facts)
