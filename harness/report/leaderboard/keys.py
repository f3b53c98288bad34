"""Which runs share a board, and which of them a row: the one place that says what may be compared with what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from harness.io.digests import digest
from harness.records.spec import RunSpec
from harness.report.leaderboard.questions import Question, questions
from harness.report.leaderboard.rows import Member, config_hash
from harness.tracking.tracker import TrackedRun


class Key(NamedTuple):
    """What the rows of one board share.

    Test videos without features, another import of the features or another protocol change every number by something
    no method did, so such runs never meet in one table. The card's hash stands for its classes and splits. `partial`
    says what was there of an incomplete data set, `asked` which question was put.
    """

    dataset: str
    features: str
    feature_hash: str
    dataset_hash: str
    protocol: str
    excluded: tuple[str, ...]
    partial: str
    asked: Question


class Training(NamedTuple):
    """What the seeds of one row share, but for the selection rule."""

    method: str
    config_hash: str
    preset: str
    text_tower: str
    scale: float
    checkpoint: str
    arithmetic: str


def keys_of(run: TrackedRun) -> Iterator[tuple[Key, Member]]:
    """Yield the boards on which a run stands, with the run as it stands there; none for one that is no result."""
    if (spec := run.result.spec) is not None and not spec.variant:
        excluded = tuple(run.result.excluded)
        same = (spec.dataset, spec.features, spec.feature_hash, spec.dataset_hash, spec.protocol)
        for asked in questions(spec):
            yield Key(*same, excluded, spec.partial, asked), (asked.answer(run), spec)


def training_of(spec: RunSpec) -> Training:
    """Return what the other seeds of a run's row have in common with it."""
    shared = (spec.preset, spec.text_tower, spec.scale, spec.checkpoint, spec.arithmetic)
    return Training(spec.method, config_hash(spec), *shared)


def siblings_of(key: Key, keys: Iterable[Key]) -> list[Key]:
    """Return the boards that ask the same of the same data set and feature set, this one among them."""
    return [other for other in keys if (other[:2], other.asked) == (key[:2], key.asked)]


def title_of(key: Key, siblings: Sequence[Key]) -> str:
    """Return data set and features, and of the rest whatever tells this board from its siblings."""
    shown = {
        "feature_hash": f"features {key.feature_hash[:8]}",
        "dataset_hash": f"card {key.dataset_hash[:8]}",
        "protocol": f"protocol {key.protocol[:60]}",
        "excluded": f"{len(key.excluded)} excluded, {digest(*key.excluded)[:8]}",
    }
    parts = [key.partial] if key.partial else []
    parts += [text for name, text in shown.items() if len({getattr(sibling, name) for sibling in siblings}) > 1]
    data = f"{key.asked.trained_on} → {key.dataset}" if key.asked.trained_on else key.dataset
    return " · ".join([data, key.features, *key.asked.words]) + (f" [{'; '.join(parts)}]" if parts else "")
