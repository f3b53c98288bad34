"""`harness.load_checkpoint`: a trained method that scores features."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.data.bank import Item, Split
from harness.data.card import DatasetCard, read_card
from harness.data.cards import find_card
from harness.errors import UserError
from harness.records.run_directory import CARD, RECORD, WEIGHTS, open_run
from harness.runs.checkpoint_loading import fitting_features, load_method, locate
from harness.runs.devices import device as available
from harness.training.arithmetic import arithmetic
from harness.training.predict import predict

if TYPE_CHECKING:
    from harness.plugin import Method


@dataclass(frozen=True)
class Model:
    """A method with the weights of a checkpoint, on the classes of a data set.

    `scale` multiplies features as they lie in files, as the card of the feature set says.
    """

    method: Method
    card: DatasetCard
    scale: float
    device: str

    def score(self, features: ArrayLike) -> NDArray[np.float32]:
        """Return the scores `[T]` of a video's snippets, the higher the more abnormal.

        Args:
            features: as they lie in files, `[T, D]`, or `[C, T, D]` for C crops, whose scores are averaged.

        Raises:
            UserError: the features are of another width or shape, or not finite.
            HarnessError: a score is NaN or infinite.
        """
        rows = np.asarray(features, dtype=np.float32)
        rows = rows[None] if rows.ndim == 2 else rows
        width = self.method.task.dim
        if rows.ndim != 3 or rows.shape[2] != width or not rows.shape[1] or not np.isfinite(rows).all():
            raise UserError(f"features {list(np.shape(features))}: expected finite [T, {width}] or [C, T, {width}]")
        crops, length = rows.shape[:2]
        items = tuple(Item("given", crop, length) for crop in range(crops))
        split = Split(items, np.arange(crops) * length, rows.reshape(-1, width), self.scale, len(self.card.classes))
        with arithmetic(self.method, self.device):
            predictions, _ = predict(self.method, split, self.card.alignment, self.device)
        return np.asarray(predictions.scores, dtype=np.float32)


def load_checkpoint(
    path: str | Path,
    dataset: str | None = None,
    *,
    features: str | None = None,
    method: str | None = None,
    text_tower: str | None = None,
    device: str = "cpu",
) -> Model:
    """Return a method with the weights of a checkpoint; nothing in the file is executed.

    Args:
        path: a checkpoint of ours, an official file, or a run directory.
        dataset: data set whose classes the method knows; not needed beside the `run.json` of the run that wrote it.
        features: its feature set; without, the run's or the one whose width fits.
        method: name of the method, for official files.
        text_tower: directory, hub id or name of the text tower, where the method needs one.
        device: "cpu" or "cuda".

    Raises:
        UserError: the weights cannot be read or fit no method, or the data set is not known.
    """
    file = locate(str(path), Path())
    if dataset is None and (file.parent / RECORD).is_file():
        run = open_run(file.parent).result
        dataset, features = run.dataset, features or run.features
    if dataset is None:
        raise UserError(f"{file}: no {RECORD} beside it says its data set; give dataset=")
    return _model(file, find_card(dataset), features, method, text_tower, device)


def load_logged(place: Path, settings: Mapping[str, Any]) -> Model:
    """Return the method of a model that a run logged in MLflow.

    Args:
        place: the directory of its weights, and of the card of its data set where it has one.
        settings: "dataset", "features", "text_tower" and "device", as `load_checkpoint` takes them.

    Raises:
        UserError: the weights cannot be read or fit no method, or the data set is not known.
    """
    card = read_card(place / CARD) if (place / CARD).is_file() else find_card(settings["dataset"])
    device = str(settings.get("device") or "cpu")
    return _model(place / WEIGHTS, card, settings["features"], None, settings.get("text_tower"), device)


def _model(
    file: Path, card: DatasetCard, features: str | None, method: str | None, text_tower: str | None, device: str
) -> Model:
    loaded, header = load_method([file], card, file.name, _warn, method=method, settings={}, text_tower=text_tower)
    _, spec = card.feature_set(fitting_features(card, features, header.dim, file.name, header.audio_dim))
    return Model(loaded.to(available(device)), card, spec.scale, device)


def _warn(text: str) -> None:
    """Tell what a reader must know of the weights, such as that they meet another text tower."""
    warnings.warn(text, UserWarning, stacklevel=3)
