"""`harness.load_checkpoint`: a trained method that scores features."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.data.cards import find_card
from harness.errors import UserError
from harness.records.run_directory import RECORD, open_run
from harness.runs.checkpoint_evaluation import Request, load_method, locate
from harness.training.predict import scores_of

if TYPE_CHECKING:
    from harness.plugin import Method


@dataclass(frozen=True)
class Model:
    """A method with the weights of a checkpoint, on the classes of a data set."""

    method: Method

    def score(self, features: ArrayLike) -> NDArray[np.float32]:
        """Return the scores `[T]` of a video's snippets, the higher the more abnormal.

        Args:
            features: `[T, D]`, or `[C, T, D]` for C crops, whose scores are averaged.

        Raises:
            UserError: the features are of another width or shape, or not finite.
        """
        rows = np.asarray(features, dtype=np.float32)
        rows = rows[None] if rows.ndim == 2 else rows
        width = self.method.task.dim
        if rows.ndim != 3 or rows.shape[2] != width or not rows.shape[1] or not np.isfinite(rows).all():
            raise UserError(f"features {list(np.shape(features))}: expected finite [T, {width}] or [C, T, {width}]")
        return scores_of(self.method, rows)


def load_checkpoint(
    path: str | Path,
    dataset: str | None = None,
    *,
    method: str | None = None,
    text_tower: str | None = None,
    device: str = "cpu",
) -> Model:
    """Return a method with the weights of a checkpoint; nothing in the file is executed.

    Args:
        path: a checkpoint of ours, an official file, or a run directory.
        dataset: data set whose classes the method knows; not needed beside the `run.json` of the run that wrote it.
        method: name of the method, for official files.
        text_tower: directory, hub id or name of the text tower, where the method needs one.
        device: "cpu" or "cuda".

    Raises:
        UserError: the weights cannot be read or fit no method, or the data set is not known.
    """
    file = locate(str(path), Path())
    if dataset is None and (file.parent / RECORD).is_file():
        dataset = open_run(file.parent).result.dataset
    if dataset is None:
        raise UserError(f"{file}: no {RECORD} beside it says its data set; give dataset=")
    card = find_card(dataset)
    request = Request((str(file),), dataset, method, text_tower=text_tower, device=device)
    loaded, _ = load_method(request, [file], card, file.name, lambda text: None)
    return Model(loaded.to(device).eval())
