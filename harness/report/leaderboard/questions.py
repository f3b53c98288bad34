"""What a board asks of its methods: which supervision, trained where, of which classes, read and disturbed how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from harness.metrics.vocabulary import PARTS, Part, part_of, single
from harness.records.spec import RunSpec
from harness.records.track import TRACKS, Track
from harness.records.truth import GroundTruth
from harness.tracking.tracker import TrackedRun


@dataclass(frozen=True, order=True)
class Question:
    """The question of one board. `trained_on` is another data set, "" for its own; `base` are the classes of the
    training, () for all; `part` is that of the test videos which is scored, "" for all. `disturbance` is
    what made the training or the test worse, "" for nothing.
    """

    track: Track = "weak"
    trained_on: str = ""
    reading: Literal["", "causal"] = ""
    base: tuple[str, ...] = ()
    part: Part | Literal[""] = ""
    disturbance: str = ""

    @property
    def short(self) -> str:
        """The same as a part of file names, "" for the usual question."""
        said: list[str] = [self.track] if self.track != "weak" else []
        said += [f"from-{self.trained_on}"] if self.trained_on else []
        said += ["-".join(filter(None, ("open", self.part)))] if self.base else []
        return "-".join(filter(None, [*said, self.reading, self.disturbance.replace(" ", "-")]))

    @property
    def words(self) -> tuple[str, ...]:
        """What a title says of the question; nothing of the usual one."""
        said = []
        if self.track != "weak":
            said.append(f"{self.track} ({TRACKS[self.track]})")
        if self.base:
            said.append("open vocabulary, " + (f"{self.part} classes" if self.part else "all classes"))
        if self.reading:
            said.append("causal")
        if self.disturbance:
            said.append(self.disturbance)
        return tuple(said)

    def of(self, dataset: str) -> str:
        """Return in words where it was trained and tested, and what is asked."""
        return ", ".join([f"{self.trained_on} → {dataset}" if self.trained_on else dataset, *self.words])

    def truth(self, truth: GroundTruth) -> GroundTruth:
        """Return the ground truth of the test videos that are scored."""
        if not self.base:
            return truth
        return part_of(truth, self.base, self.part) if self.part else single(truth)

    def answer(self, run: TrackedRun) -> TrackedRun:
        """Return the run with its metrics on these test videos."""
        if not self.part:
            return run
        start, metrics = f"{self.part}_", run.result.metrics
        own = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
        result = run.result.model_copy(update={"metrics": own, "class_auc": {}})
        return replace(run, result=result, content=f"{run.content}, {self.part} classes")


def questions(spec: RunSpec) -> Iterator[Question]:
    """Yield the questions that a run answers: one, or three of an open vocabulary (all, base and novel classes)."""
    asked = Question(spec.track, spec.trained_on, spec.reading, spec.vocabulary, disturbance=spec.disturbance)
    yield asked
    if spec.vocabulary:
        for part in PARTS:
            yield replace(asked, part=part)
