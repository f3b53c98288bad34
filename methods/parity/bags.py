"""What cases of RTFM and its kin hold: normal and abnormal videos to pool, masks of the selection, RTFM's terms."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.parity.cases import Case
from harness.plugin import Batch
from harness.training.fitting import pool_segments

from ..layers.magnitude import BagLossConfig
from .batches import normal_first


def crops_of(case: Case, name: str) -> Tensor:
    """Return a drawn video as rows `[C, T, D]`; cases hold `[T, C, D]`, test videos with a leading axis of 1."""
    drawn = case.draw(name)
    return torch.from_numpy(drawn.reshape(drawn.shape[-3:])).transpose(0, 1)


def bags(case: Case, segments: int) -> Batch:
    """Return the case's videos, normal ones first, every crop pooled to `segments`; a video's crops are adjacent."""
    videos = [crops_of(case, name).numpy() for name in _videos(case)]
    crops = len(videos[0])
    rows = [pool_segments(np.ascontiguousarray(crop), segments) for video in videos for crop in video]
    return _pooled(case, rows, crops)


def pooled_pairs(case: Case, segments: int) -> Batch:
    """Return the case's videos of one crop, `[T, D]`, normal ones first, pooled to `segments`."""
    return _pooled(case, [pool_segments(case.draw(name), segments) for name in _videos(case)], crops=1)


def _videos(case: Case) -> list[str]:
    return [*case.values["normal_videos"], *case.values["abnormal_videos"]]


def _pooled(case: Case, rows: Sequence[NDArray[np.float32]], crops: int) -> Batch:
    return normal_first(torch.from_numpy(np.stack(rows)), crops * len(case.values["normal_videos"]), crops)


def selected_share(case: Case) -> dict[str, Any]:
    """Return the setting that selects as many segments as the case does, none where it does not say."""
    config = case.config
    return {"selected_share": config["num_segments"] // config["k"]} if {"k", "num_segments"} <= config.keys() else {}


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


def magnitude_losses(config: BagLossConfig, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return RTFM's weighted terms as its training cases store them: all weighted but the magnitudes."""
    return {
        "loss_cls": terms["bags"],
        "loss_rtfm": terms["magnitude"] / config.magnitude_weight,
        "loss_smooth": terms["smooth"],
        "loss_sparse": terms["sparsity"],
    }
