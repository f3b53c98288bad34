"""Batches and test videos as cases describe them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.method import Batch
from harness.parity import Case


def padded(case: Case, name: str, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return drawn rows `[B, T, D]`, zero beyond each length, and the lengths `[B]`."""
    features, ends = torch.from_numpy(case.draw(name)), torch.tensor(lengths)
    features[torch.arange(features.shape[1]) >= ends[:, None]] = 0
    return features, ends


def two_classes(abnormal: Tensor) -> Tensor:
    """Return labels `[B, 2]` of videos that are abnormal (1) or normal (0), `[B]`."""
    return torch.stack([1 - abnormal, abnormal], dim=1)


def halves(rows: Tensor, crops: int = 1) -> Batch:
    """Return a batch of rows `[B, T, D]` whose first half is of normal videos, the second of abnormal ones."""
    normal = len(rows) // 2
    abnormal = (torch.arange(len(rows)) >= normal).float()
    return Batch(rows, whole(rows), two_classes(abnormal), normal, crops)


def whole(rows: Tensor) -> Tensor:
    """Return the lengths `[B]` of rows `[B, T, D]` without padding."""
    return torch.full((len(rows),), rows.shape[1])
