"""A trained method that scores features nobody has labelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Item, Split
from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.data.shapes import WIDTHS
from harness.errors import UserError
from harness.plugin.method import Method
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.run_directory import RECORD, RunDirectory, open_run
from harness.runs.checkpoint_loading import fitting_features, load_method, locate
from harness.training.arithmetic import arithmetic
from harness.training.predict import predict
from harness.weights.checkpoints import Header

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scorer:
    """A method with its weights, for the classes of a data set.

    `scale` multiplies features as they lie in files; `run` is the run that wrote the weights, where it is at hand;
    `label` is what messages call the weights.
    """

    method: Method
    header: Header
    card: DatasetCard
    scale: float
    device: str
    label: str
    run: RunDirectory | None

    @property
    def stride(self) -> int:
        """Frames of a snippet."""
        if self.header.extraction is not None:
            return self.header.extraction.protocol.frames.snippet
        return self.card.alignment.stride

    def score(self, name: str, features: NDArray[Any]) -> Predictions:
        """Return scores and class probabilities of a video by its features `[T, C, D]`; crops are averaged.

        Raises:
            UserError: the features are of another width, empty, or not finite.
            HarnessError: a score is NaN or infinite.
        """
        length, crops, width = features.shape
        check_width(width, self.header.dim, name, self.label)
        if not length or not np.isfinite(features).all():
            raise UserError(f"{name}: {'no row' if not length else 'NaN or infinity'} in its features")
        items = tuple(Item(name, crop, length) for crop in range(crops))
        rows = np.ascontiguousarray(features.transpose(1, 0, 2), dtype=np.float32).reshape(-1, width)
        split = Split(items, np.arange(crops, dtype=np.int64) * length, rows, self.scale, len(self.card.classes))
        alignment = Alignment(kind="stride", stride=self.stride)
        with arithmetic(self.method, self.device):
            return predict(self.method, split, alignment, self.device)[0]


def check_width(dim: int, wanted: int, where: str, label: str) -> None:
    """Raise UserError where features are `dim` wide and the weights `label` need `wanted`."""
    if dim != wanted:
        looks = f" (looks like {WIDTHS[dim]})" if dim in WIDTHS else ""
        raise UserError(f"{where}: features are {dim}-d{looks}; {label} needs {wanted}-d")


def load_scorer(
    checkpoint: str,
    out: Path,
    say: Say,
    *,
    dataset: str | None = None,
    features: str | None = None,
    method: str | None = None,
    text_tower: str | None = None,
    device: str = "cpu",
) -> Scorer:
    """Return what scores with a checkpoint: a file, a run directory, or a run id below `out`.

    `dataset` names the data set whose classes the method knows, which a run directory says itself; `method` is needed
    for official files.

    Raises:
        UserError: the weights cannot be read or fit no method, or the data set is not known.
    """
    file = locate(checkpoint, out)
    run = open_run(file.parent) if (file.parent / RECORD).is_file() else None
    if run is not None:
        dataset, features = dataset or run.result.dataset, features or run.result.features
    if dataset is None:
        raise UserError(f"{file}: no {RECORD} beside it says its data set; give --dataset")
    card = find_card(dataset)
    label = f"{file.parent.name if run else file.name}"
    loaded, header = load_method([file], card, label, say, method=method, settings={}, text_tower=text_tower)
    scale = 1.0
    if header.extraction is None:
        scale = card.features[fitting_features(card, features, header.dim, label, header.audio_dim)].scale
    return Scorer(loaded.to(device), header, card, scale, device, label, run)
