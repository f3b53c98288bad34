"""From a trained method and the test split to predictions, batched across videos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.errors import BrokenMethod, HarnessError
from harness.plugin import contract
from harness.plugin.method import Method
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions

# Snippets of one forward pass, padding included: few enough for a CPU's caches, enough to keep a GPU busy.
SNIPPETS_PER_BATCH = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Piece:
    """Rows [start, start + length) of one item, read in one forward pass; scores of the last `kept` rows are kept."""

    item: int
    start: int
    length: int
    kept: int


def pieces(split: Split, window: int | None) -> list[Piece]:
    """Cut every item into consecutive windows, or leave it whole (`window` None).

    A window that would be all padding is not run: windows do not interact, so it changes no kept row.
    """
    cut = []
    for index, item in enumerate(split.items):
        step = window or item.snippets
        lengths = {start: min(step, item.snippets - start) for start in range(0, item.snippets, step)}
        cut += [Piece(index, start, length, length) for start, length in lengths.items()]
    return cut


def seen(split: Split, window: int | None) -> list[Piece]:
    """Return for each snippet of every item what has been seen until then, at most `window` snippets of it."""
    cut = []
    for index, item in enumerate(split.items):
        lengths = [min(end, window or end) for end in range(1, item.snippets + 1)]
        cut += [Piece(index, end - length, length, 1) for end, length in enumerate(lengths, 1)]
    return cut


def batches(cut: list[Piece], window: int | None, device: str = "cpu") -> Iterator[list[Piece]]:
    """Group pieces: windows in order, whole videos by length so that little is padded."""
    ordered = cut if window else sorted(cut, key=lambda piece: piece.length)
    group: list[Piece] = []
    for piece in ordered:
        longest = window or piece.length
        if group and (len(group) + 1) * longest > SNIPPETS_PER_BATCH[device]:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def predict(
    method: Method,
    split: Split,
    alignment: Alignment,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    causal: bool = False,
) -> tuple[Predictions, float]:
    """Score a split; with `causal` each snippet from what has been seen of its video until then.

    Returns:
        Predictions (scores of a video averaged over its crops) and the wall seconds of the forward passes.

    Raises:
        HarnessError: a score is NaN or infinite; the text names the video.
        BrokenMethod: the prediction is of a wrong type or shape.
    """
    reading = contract.reading(method)
    window = reading.window
    rows = int(split.offsets[-1])
    scores = np.zeros(rows, dtype=np.float32)
    probs: NDArray[np.float32] | None = None
    method.eval()
    cut = seen(split, window) if causal and not reading.online else pieces(split, window)
    done = 0
    start = time.perf_counter()
    with torch.inference_mode():
        for group in batches(cut, window, device):
            longest = window or group[-1].length
            features = np.zeros((len(group), longest, split.features.shape[1]), dtype=np.float32)
            for row, piece in enumerate(group):
                features[row, : piece.length] = split.item_features(piece.item, piece.start, piece.start + piece.length)
            lengths = torch.tensor([piece.length for piece in group])
            result = contract.prediction(method, torch.from_numpy(features).to(device), lengths.to(device))
            batch_scores = result.scores.float().cpu().numpy()
            batch_probs = None if result.class_probs is None else result.class_probs.float().cpu().numpy()
            size = features.shape[:2]
            _check_shape(method, "scores", batch_scores.shape, size)
            if batch_probs is not None:
                _check_shape(method, "class_probs", batch_probs.shape, (*size, len(method.task.classes)))
            if batch_probs is not None and probs is None:
                probs = np.zeros((rows, batch_probs.shape[2]), dtype=np.float32)
            for row, piece in enumerate(group):
                until = int(split.offsets[piece.item]) + piece.start + piece.length
                kept = slice(piece.length - piece.kept, piece.length)
                scores[until - piece.kept : until] = batch_scores[row, kept]
                if probs is not None and batch_probs is not None:
                    probs[until - piece.kept : until] = batch_probs[row, kept]
            done += len(group)
            progress(done, len(cut))
    seconds = time.perf_counter() - start
    for array in (scores, probs):
        if array is not None and not np.isfinite(array).all():
            bad = int(np.flatnonzero(~np.isfinite(array.reshape(rows, -1)).all(axis=1))[0])
            item_index = int(np.searchsorted(split.offsets, bad, side="right")) - 1
            raise HarnessError(f"{method.card.name}: NaN or infinite score for video {split.items[item_index].video}")
    return _average_crops(split, scores, probs, alignment, method.task.classes), seconds


def _check_shape(method: Method, name: str, found: tuple[int, ...], must: tuple[int, ...]) -> None:
    if found != must:
        axes = "[B, T]" if name == "scores" else "[B, T, K]"
        raise BrokenMethod(
            f"{method.card.name}: predict must give {name} {axes} of shape {list(must)}; got {list(found)}"
        )


def _average_crops(
    split: Split,
    scores: NDArray[np.float32],
    probs: NDArray[np.float32] | None,
    alignment: Alignment,
    classes: tuple[str, ...],
) -> Predictions:
    by_video: dict[str, list[int]] = {}
    for index, item in enumerate(split.items):
        by_video.setdefault(item.video, []).append(index)

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        slices = [[values[split.offsets[i] : split.offsets[i + 1]] for i in rows] for rows in by_video.values()]
        return np.concatenate([np.mean(crops, axis=0) if len(crops) > 1 else crops[0] for crops in slices])

    lengths = [split.items[rows[0]].snippets for rows in by_video.values()]
    return Predictions(
        videos=tuple(by_video),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        scores=mean(scores),
        alignment=alignment,
        classes=classes,
        class_probs=None if probs is None else mean(probs),
    )
