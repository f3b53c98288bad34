"""Means and masks over time that respect the videos' lengths.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def valid_mask(lengths: Tensor, length: int) -> Tensor:
    """Return which of `length` snippets lie inside each video, `[B, T]` bool."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def valid_rows(known: Tensor, length: int, device: torch.device) -> Tensor:
    """Return on `device` where `[B * T]` rows lie inside their video, in order, of lengths `[B]` known on the CPU.

    Found on the CPU, since the device would have to say how many there are.
    """
    return sent(valid_mask(known, length).flatten().nonzero().squeeze(1), device)


def sent(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on `device`, without waiting for the device."""
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True)


def valid_mean(values: Tensor, lengths: Tensor, known: Tensor | None) -> Tensor:
    """Return the mean of `[B, T]` values over the valid snippets of all videos; `known` are lengths on the CPU."""
    if known is None:
        return (values * valid_mask(lengths, values.shape[1])).sum() / lengths.sum()
    return values.flatten().index_select(0, valid_rows(known, values.shape[1], values.device)).mean()


def topk_mean(values: Tensor, lengths: Tensor, divisor: int = 16) -> Tensor:
    """Return the mean of the k largest values over time, k = length // divisor + 1.

    Args:
        values: `[B, T]` or `[B, T, C]` (each class by itself).
        lengths: valid snippets `[B]`, at least 1; later ones are ignored.

    Returns:
        `[B]` or `[B, C]`.
    """
    length = values.shape[1]
    classes = values.reshape(len(values), length, -1)
    counts = lengths // divisor + 1
    inside = valid_mask(lengths, length)[:, :, None]
    top = classes.masked_fill(~inside, -torch.inf).topk(length // divisor + 1, dim=1).values
    chosen = valid_mask(counts, top.shape[1])[:, :, None]
    means = torch.where(chosen, top, torch.zeros_like(top)).sum(dim=1) / counts[:, None]
    return means.reshape(values.shape[:1] + values.shape[2:])


def bag_mean(values: Tensor, lengths: Tensor, abnormal: Tensor, divisor: int = 16) -> Tensor:
    """Return `topk_mean` of abnormal videos (`abnormal` `[B]`, 1 or 0), the largest value alone of normal ones.

    Args:
        values: `[B, T]` or `[B, T, C]` (each class by itself).
        lengths: valid snippets `[B]`, at least 1; later ones are ignored.

    Returns:
        `[B]` or `[B, C]`.
    """
    beyond, is_abnormal = ~valid_mask(lengths, values.shape[1]), abnormal > 0
    if values.ndim == 3:
        beyond, is_abnormal = beyond[:, :, None], is_abnormal[:, None]
    highest = values.masked_fill(beyond, -torch.inf).amax(dim=1)
    return torch.where(is_abnormal, topk_mean(values, lengths, divisor), highest)


def unit_roots(x: Tensor, valid: Tensor) -> Tensor:
    """Return the signed square roots of `[B, T, D]`, divided by their L2 norm along time, channel by channel.

    What is not `valid` `[B, T]` (bool) becomes 0. A root's slope at 0 is infinite: the gradient of an exact 0 is 0.
    """
    nonzero = x != 0
    root = torch.where(nonzero, x, torch.ones_like(x)).abs().sqrt() * x.sign()
    return F.normalize(root * valid[:, :, None], dim=1)
