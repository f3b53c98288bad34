"""What MLflow calls to load a run's logged model. Nothing in a store is executed: weights are read as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.api.checkpoints import Model, load_logged


class LoggedModel:
    """A method with its weights, in the form that MLflow asks for."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores `[T]` of the snippets of a video by its features `[T, D]`, or `[C, T, D]` with crops."""
        return self._model.score(features)


def _load_pyfunc(path: str, settings: Mapping[str, Any]) -> LoggedModel:
    """Return the model whose files lie in the directory `path`; MLflow knows this name. Raises as `load_logged`."""
    return LoggedModel(load_logged(Path(path), settings))
