"""Batches and test videos as cases describe them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.parity.cases import Case
from harness.plugin import Batch


def padded(case: Case, name: str, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return drawn rows `[B, T, D]`, zero beyond each length, and the lengths `[B]`."""
    features, ends = torch.from_numpy(case.draw(name)), torch.tensor(lengths)
    features[torch.arange(features.shape[1]) >= ends[:, None]] = 0
    return features, ends


def padded_batch(case: Case, step: int | None = None) -> Batch:
    """Return the drawn videos of a loss case, cut after the longest, or those of a step of a training case."""
    lengths, labels = case.values["pad_lengths"], case.values["label"]
    if step is None:
        features, ends = padded(case, "x", lengths)
        features = features[:, : int(ends.max())]
    else:
        features, ends = padded(case, f"x.step{step}", lengths[step])
        labels = labels[step]
    return Batch(features, ends, two_classes(torch.tensor(labels, dtype=torch.float32)))


def two_classes(abnormal: Tensor) -> Tensor:
    """Return labels `[B, 2]` of videos that are abnormal (1) or normal (0), `[B]`."""
    return torch.stack([1 - abnormal, abnormal], dim=1)


def halves(case: Case, name: str) -> Batch:
    """Return drawn videos, `[2B, T, D]` or `[2B, C, T, D]` with their crops, as a batch: B normal ones, B abnormal."""
    drawn = torch.from_numpy(case.draw(name))
    rows = drawn.flatten(0, -3)
    return normal_first(rows, len(rows) // 2, len(rows) // len(drawn))


def normal_first(rows: Tensor, normal: int, crops: int = 1) -> Batch:
    """Return a batch of full rows `[B, T, D]`, the first `normal` of normal videos, the rest of abnormal ones."""
    abnormal = (torch.arange(len(rows)) >= normal).float()
    return Batch(rows, whole(rows), two_classes(abnormal), normal, crops)


def whole(rows: Tensor) -> Tensor:
    """Return the lengths `[B]` of rows `[B, T, D]` without padding."""
    return torch.full((len(rows),), rows.shape[1])
