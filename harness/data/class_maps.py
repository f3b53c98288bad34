"""Class maps: which classes of two data sets name the same event, as data in `datasets/maps/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import Field

from harness.data.card import DatasetCard
from harness.data.card_parts import Part
from harness.io.digests import digest
from harness.paths import maps_dir
from harness.records.predictions import Predictions


class ClassMap(Part):
    """The classes of one data set by those of another: `sets` names the two, `classes` pairs theirs in this order."""

    sets: tuple[str, str]
    classes: Annotated[dict[str, str], Field(min_length=1)]
    source: str = ""


@cache
def _known() -> tuple[ClassMap, ...]:
    return tuple(_read(path) for path in sorted(maps_dir().glob("*.yaml")))


def _read(path: Path) -> ClassMap:
    return ClassMap.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def shared_classes(trained: DatasetCard, tested: DatasetCard) -> Mapping[str, str] | None:
    """Return the classes of `tested` by those of `trained` that name the same; None where no map says so.

    Data sets of the same classes need no map.
    """
    if trained.class_names == tested.class_names:
        return dict(zip(trained.class_names, tested.class_names, strict=True))
    pair = trained.base_name, tested.base_name
    for known in _known():
        if known.sets == pair:
            return known.classes
        if known.sets == pair[::-1]:
            return {theirs: ours for ours, theirs in known.classes.items()}
    return None


def translation(trained: DatasetCard, tested: DatasetCard) -> str:
    """Return in words how classes are translated, so that results by different maps are told apart."""
    shared = shared_classes(trained, tested)
    if shared is None:
        return f"classes of {trained.name} not translated"
    return f"{len(shared)} classes of {trained.name} by map #{digest(json.dumps(dict(shared), sort_keys=True))[:8]}"


def protocol_between(trained: DatasetCard, tested: DatasetCard, features: str) -> str:
    """Return the protocol of a test on a feature set of `tested` of weights that were trained on `trained`."""
    return f"{tested.protocol_of(features)}; {translation(trained, tested)}"


def translated(predictions: Predictions, trained: DatasetCard, tested: DatasetCard) -> Predictions:
    """Return predictions in the classes of `tested`: 0 for those that `trained` lacks, none at all without a map."""
    shared = shared_classes(trained, tested)
    if predictions.class_probs is None or shared is None:
        return replace(predictions, classes=tested.class_names, class_probs=None)
    probabilities = np.zeros((len(predictions.scores), len(tested.classes)), dtype=np.float32)
    for ours, theirs in shared.items():
        column = predictions.class_probs[:, trained.class_names.index(ours)]
        probabilities[:, tested.class_names.index(theirs)] = column
    return replace(predictions, classes=tested.class_names, class_probs=probabilities)
