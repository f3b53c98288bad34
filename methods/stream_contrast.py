"""MACIL-SD's contrast: events of one stream against all else of the other.

Axes: B videos, T snippets, D channels, k highest or lowest snippets, N rows of all videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers.time import valid_mask

# What events are kept apart from: the lowest rows of all videos, the highest ones of normal videos.
NEGATIVES = ("background", "normal")


@dataclass(frozen=True)
class Stream:
    """Rows `[B, T, D]` and the scores `[B, T]` by which the highest and the lowest are chosen."""

    rows: Tensor
    scores: Tensor

    def chosen(self, lengths: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the `count` highest and lowest rows of each video, `[B, k, D]` each, the most extreme first."""
        inside, scores = valid_mask(lengths, self.scores.shape[1]), self.scores.detach()
        highest = scores.masked_fill(~inside, -torch.inf).topk(count, dim=1).indices
        lowest = scores.masked_fill(~inside, torch.inf).topk(count, dim=1, largest=False).indices
        high, low = (self.rows.take_along_dim(index[:, :, None], dim=1) for index in (highest, lowest))
        return high, low


def contrast(
    streams: Mapping[str, Stream], lengths: Tensor, abnormal: Tensor, divisor: int, temperature: float
) -> dict[tuple[str, str], Tensor]:
    """Return the terms by query stream, one of two, and by `NEGATIVES`.

    The mean of an abnormal video's k = length // divisor + 1 highest rows is drawn to that of its other stream, away
    from rows of the other stream. A video weighs as much as it has such rows. All terms are 0 where the videos are all
    normal or all `abnormal` `[B]`.
    """
    counts = lengths // divisor + 1
    length = next(iter(streams.values())).scores.shape[1]
    chosen = valid_mask(counts, length // divisor + 1)
    weights = counts * (abnormal & ~abnormal.all())
    among = {"background": chosen.flatten(), "normal": (chosen & ~abnormal[:, None]).flatten()}
    events: dict[str, Tensor] = {}
    others: dict[tuple[str, str], Tensor] = {}
    for name, stream in streams.items():
        high, low = stream.chosen(lengths, chosen.shape[1])
        events[name] = F.normalize((high * chosen[:, :, None]).sum(dim=1) / counts[:, None], dim=1)
        others[name, "background"], others[name, "normal"] = (
            F.normalize(rows.flatten(0, 1), dim=1) for rows in (low, high)
        )
    terms = {}
    one, two = streams
    for name, other in ((one, two), (two, one)):
        near = (events[name] * events[other]).sum(dim=1) / temperature
        for negatives in NEGATIVES:
            far = (events[name] @ others[other, negatives].T / temperature).masked_fill(~among[negatives], -torch.inf)
            loss = torch.cat([near[:, None], far], dim=1).logsumexp(dim=1) - near
            terms[name, negatives] = (weights * loss).sum() / weights.sum().clamp(min=1)
    return terms
