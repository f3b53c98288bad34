"""What MLflow calls to load a run's logged model. Nothing in a store is executed: weights are read as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.checkpoints import Model, load_logged
from harness.records.run_directory import CARD
from harness.tracking.logged_model import WEIGHTS


class LoggedModel:
    """A method with its weights, in the form that MLflow asks for."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `[T]` of the snippets of a video by its features `[T, D]`, or `[C, T, D]` with crops."""
        return self._model.score(features)


def _load_pyfunc(path: str, settings: Mapping[str, Any]) -> LoggedModel:
    """Return the model whose weights, and data set's card, lie in the directory `path`; MLflow knows this name.

    Raises:
        UserError: the weights cannot be read or fit no method, or the data set is not known.
    """
    places = {"checkpoint": Path(path) / WEIGHTS, "card": Path(path) / CARD}
    there = {name: str(place) for name, place in places.items() if place.is_file()}
    return LoggedModel(load_logged(there, settings))
