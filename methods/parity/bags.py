"""What the loss cases of RTFM, MGFN and DeepMIL hold: a batch of normal and abnormal videos with their crops."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from harness.data.fitting import pool_segments
from harness.method import Batch
from harness.parity import Case


def crops_of(case: Case, name: str) -> Tensor:
    """Return a drawn video as rows `[C, T, D]`; cases hold `[T, C, D]`, test videos with a leading axis of 1."""
    drawn = case.draw(name)
    return torch.from_numpy(drawn.reshape(drawn.shape[-3:])).transpose(0, 1)


def bags(case: Case, segments: int) -> Batch:
    """Return the case's videos, normal ones first, every crop pooled to `segments`; a video's crops are adjacent."""
    names = [*case.values["normal_videos"], *case.values["abnormal_videos"]]
    videos = [crops_of(case, name).numpy() for name in names]
    crops = len(videos[0])
    rows = np.stack([pool_segments(np.ascontiguousarray(crop), segments) for video in videos for crop in video])
    normal = crops * len(case.values["normal_videos"])
    labels = torch.zeros(len(rows), 2)
    labels[:normal, 0] = labels[normal:, 1] = 1
    return Batch(torch.from_numpy(rows), torch.full((len(rows),), segments), labels, normal, crops)


def given_masks(case: Case, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the case's selection masks of normal and abnormal videos, ones where it has none; scores are `[B, T]`."""
    inputs, normal = case.inputs(), len(case.values["normal_videos"])
    if "mask_normal" in inputs:
        return torch.from_numpy(inputs["mask_normal"]), torch.from_numpy(inputs["mask_abnormal"])
    ones = torch.ones_like(scores)
    return ones[:normal], ones[normal:]


@contextlib.contextmanager
def fixed_masks(module: str, masks: tuple[Tensor, Tensor]) -> Iterator[None]:
    """Let the training in `module` use these masks instead of random ones."""
    with patch(f"{module}.random_masks", lambda *arguments: masks):
        yield
