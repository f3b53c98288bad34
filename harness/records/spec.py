"""What decides the result of a run, and the identity that follows from it."""

from __future__ import annotations

import json
from typing import Any, Literal

from harness.io.digests import digest
from harness.records.model import Record
from harness.records.track import Track

# "given": the weights come from a checkpoint, nothing was trained or chosen here.
SelectionRule = Literal["last", "val", "oracle", "paper", "given"]
Precision = Literal["fp32", "tf32", "bf16"]
# In what the seeds of one row of a leaderboard may differ.
SEEDED = frozenset({"seed", "code", "device", "threads", "source", "glances", "capability", "nudge"})
# Fields that follow from others or from the method.
_LABELS = {"ablation", "track"}
_LATER = (
    *("checkpoint", "precision", "compiled", "fused", "partial", "capability", "nudge", "glances"),
    *("vocabulary", "trained_on", "source", "reading", "disturbance"),
)


class RunSpec(Record):
    """Everything that decides a run's result. Equal specs give equal bits on one machine.

    `dataset_hash` is the card's hash, `feature_hash` the bank's, `code` the hash of the sources that matter,
    `text_tower` the name of the text tower or "" if the method uses none, `device` "cpu" or "cuda", `checkpoint` the
    hash of the weights that were given or "" if they were trained here. `compiled`: training steps went through
    torch.compile. `fused`: an earlier version was asked for the fused steps of Adam that all methods take now.
    `ablation` names the part of the method that `config` switches off, "" for the whole method; it is a label of the
    config, no part of the identity. `partial` says what was there of an incomplete data set, such as "184 of 1,610
    training videos", "" if all of it. `glances` is the hash of the clicks that a method of the track "glance" learned
    from, "" for all others.
    `capability` (ATEN_CPU_CAPABILITY of its process) and `nudge` (which draw of noise its starting weights were given)
    make a variant of a run, see `harness.runs.stability`; a run has "" and 0.

    A run may be asked a harder question. `vocabulary` lists the abnormal classes that its training saw, the base
    classes of an open vocabulary; () where it saw all. `source` is the identity of the run whose weights are tested
    again, "" for a run that trains, and `trained_on` the data set of that training, "" where it is this one. `reading`
    "causal" scores each snippet from what has been seen until it. `disturbance` is what its training or its test was
    made worse by, such as "label-noise 0.2", "" for nothing. `track` is that of the method's card, a label like
    `ablation`.
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
    glances: str = ""
    vocabulary: tuple[str, ...] = ()
    trained_on: str = ""
    source: str = ""
    reading: Literal["", "causal"] = ""
    disturbance: str = ""
    track: Track = "weak"

    @property
    def identity(self) -> str:
        """Hash of the spec; the same identity is never computed twice unless asked."""
        return self._hash(_LABELS)

    def _hash(self, apart: set[str]) -> str:
        # Fields that came later count only where they are used, so that earlier runs keep their identity.
        unused = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
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
        return self._hash({*_LABELS, "seed", "threads", "capability", "nudge", "source"})

    @property
    def family(self) -> str:
        """Hash of what the seeds of one row of a leaderboard share, whatever code, machine or clicks they saw."""
        return self._hash({*SEEDED, "ablation"})

    @property
    def run_id(self) -> str:
        """Readable and unique: `method-dataset-sSEED-selection-hash`."""
        return f"{self.words}-{self.identity[:10]}"

    @property
    def words(self) -> str:
        """The run id without its hash, which takes longer to make."""
        return f"{self._question}-s{self.seed}-{self.selection}"

    @property
    def family_words(self) -> str:
        """The run id without its hash and its seed: the name of what all seeds share."""
        return f"{self._question}-{self.selection}"

    @property
    def _question(self) -> str:
        data = f"{self.trained_on}-to-{self.dataset}" if self.trained_on not in ("", self.dataset) else self.dataset
        data += "-open" * bool(self.vocabulary) + "-causal" * (self.reading == "causal")
        data += f"-{self.disturbance.replace(' ', '-')}" * bool(self.disturbance)
        return f"{self.method}-{data}"
