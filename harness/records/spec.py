"""Typed forms of a run: what was asked for and what came out. Unknown keys are errors."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.io.digests import digest

# "given": the weights come from a checkpoint, nothing was trained or chosen here.
SelectionRule = Literal["last", "val", "oracle", "paper", "given"]
Origin = Literal["trained", "checkpoint", "inference-only"]
Status = Literal["ok", "failed", "skipped"]
Precision = Literal["fp32", "tf32", "bf16"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Matrix(_Model):
    """Methods x data sets x feature sets x seeds x selection rules x settings: what `harness run` is asked for.

    Words of `methods` are names, aliases or groups. `features` are feature sets of the cards; empty: each card's
    first. `set` maps method -> config key -> value, `sweep` method -> config key -> values, of which every
    combination is run. With `ablations` each method also runs with one of its parts switched off at a time.
    """

    methods: tuple[str, ...]
    datasets: tuple[str, ...] = ("demo",)
    features: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    selection: tuple[SelectionRule, ...] = ("last",)
    set: dict[str, dict[str, Any]] = {}
    sweep: dict[str, dict[str, list[Any]]] = {}
    preset: str | None = None
    ablations: bool = False
    device: str = "cpu"
    precision: Precision = "fp32"
    compiled: bool = False
    fused: bool = False
    text_tower: str | None = None


class RunSpec(_Model):
    """Everything that decides a run's result. Equal specs give equal bits on one machine.

    `dataset_hash` is the card's hash, `feature_hash` the bank's, `code` the hash of the sources that matter,
    `text_tower` the name of the text tower or "" if the method uses none, `device` "cpu" or "cuda", `checkpoint` the
    hash of the weights that were given or "" if they were trained here. `compiled`: training steps went through
    torch.compile. `fused`: Adam and AdamW took their steps in torch's fused kernels. `ablation` names the part of the
    method that `config` switches off, "" for the whole method; it is a label of the config, no part of the identity.
    `partial` says what was there of an incomplete data set, such as "184 of 1,610 training videos", "" if all of it.
    `capability` (ATEN_CPU_CAPABILITY of its process) and `nudge` (which draw of noise its starting weights were given)
    make a variant of a run, see `harness.runs.stability`; a run has "" and 0.
    """

    method: str
    config: dict[str, Any]
    preset: str
    dataset: str
    dataset_hash: str
    features: str
    feature_hash: str
    scale: float
    text_tower: str
    seed: int
    selection: SelectionRule
    device: str
    threads: int
    protocol: str
    code: str
    checkpoint: str = ""
    precision: Precision = "fp32"
    compiled: bool = False
    fused: bool = False
    ablation: str = ""
    partial: str = ""
    capability: str = ""
    nudge: int = 0

    @property
    def identity(self) -> str:
        """Hash of the spec; the same identity is never computed twice unless asked."""
        return self._hash({"ablation"})

    def _hash(self, apart: set[str]) -> str:
        # Fields that came later count only where they are used, so that earlier runs keep their identity.
        later = ("checkpoint", "precision", "compiled", "fused", "partial", "capability", "nudge")
        unused = {name for name in later if getattr(self, name) == type(self).model_fields[name].default}
        return digest(json.dumps(self.model_dump(exclude=apart | unused), sort_keys=True))

    @property
    def arithmetic(self) -> str:
        """The precision, and whether training was compiled and optimizers fused, in words."""
        return self.precision + ", compiled" * self.compiled + ", fused" * self.fused

    @property
    def variant(self) -> bool:
        """Whether it only shows how a run rounds; a variant is no result and enters no leaderboard."""
        return bool(self.capability or self.nudge)

    @property
    def recipe(self) -> str:
        """Hash of what decides a result but for the seed and how sums are rounded (threads, variants)."""
        return self._hash({"ablation", "seed", "threads", "capability", "nudge"})

    @property
    def run_id(self) -> str:
        """Readable and unique: `method-dataset-sSEED-selection-hash`."""
        return f"{self.method}-{self.dataset}-s{self.seed}-{self.selection}-{self.identity[:10]}"


class Selection(_Model):
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


class Cost(_Model):
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


class RunResult(_Model):
    """One finished or failed run; the content of `run.json`. Metric values are fractions in [0, 1].

    `origin` says whether the weights were trained here, or come from a checkpoint, there of a method that can be
    trained or of one that cannot. `log` is the end of the log of a failed run. `undefined` names the metrics that are
    not in `metrics` because the test set leaves them undefined; `cautions` say what makes the others doubtful. `files`
    are the SHA-256 of the files beside `run.json`, by name.
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

    @classmethod
    def of(cls, spec: RunSpec, status: Status, **facts: Any) -> RunResult:
        """A result of the run that `spec` asks for."""
        shared = {name: getattr(spec, name) for name in ("method", "dataset", "features", "seed", "selection")}
        return cls(id=spec.run_id, spec=spec, status=status, **shared, **facts)
