"""Feature magnitude learning (RTFM, Tian et al., arXiv 2101.10030), which CLIP-TSA and MGFN build on.

Axes: B videos, C crops, T snippets, D channels, K selected snippets; a row is one crop of a video.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.plugin import Batch, MethodConfig

from .dropout import dropout


@dataclass(frozen=True)
class Selected:
    """The K snippets of largest magnitude of each video."""

    indices: Tensor  # [B, K], largest first
    features: Tensor  # [C * B, K, D], crop by crop
    scores: Tensor  # [B], means over the selected snippets


def by_crops(x: Tensor, crops: int) -> Tensor:
    """Return rows `[B * C, ...]`, a video's crops adjacent, as `[B, C, ...]`."""
    split: Tensor = x.unflatten(0, (-1, crops))
    return split


def magnitudes(features: Tensor, crops: int) -> Tensor:
    """Return `[B, T]`: feature norms, averaged over crops, of rows `[B * C, T, D]`."""
    return by_crops(features.norm(dim=2), crops).mean(dim=1)


def select(features: Tensor, scores: Tensor, crops: int, count: int, mask: Tensor) -> Selected:
    """Select the `count` snippets of largest masked magnitude of each video, the same ones in all its crops.

    Args:
        features: rows `[B * C, T, D]`.
        scores: `[B, T]`, averaged over crops.
        mask: `[B, T]`, multiplies the magnitudes.
    """
    indices = (magnitudes(features, crops) * mask).topk(min(count, scores.shape[1]), dim=1).indices
    each = by_crops(features, crops)
    rows = indices[:, None, :, None].expand(-1, crops, -1, features.shape[2])
    chosen = each.gather(2, rows).transpose(0, 1).flatten(0, 1)
    return Selected(indices, chosen, scores.gather(1, indices).mean(dim=1))


def paired(normal: Tensor, abnormal: Tensor, crops: int) -> tuple[Tensor, Tensor]:
    """Return both lists of rows `[C * B, ...]`, crop by crop, at one length: a shorter list of videos starts over."""
    one, other = normal.unflatten(0, (crops, -1)), abnormal.unflatten(0, (crops, -1))
    pairs = torch.arange(max(one.shape[1], other.shape[1]), device=normal.device)
    return one[:, pairs % one.shape[1]].flatten(0, 1), other[:, pairs % other.shape[1]].flatten(0, 1)


def separation(normal: Tensor, abnormal: Tensor, margin: float) -> Tensor:
    """Return, per pair `[P]`, |margin - |a|| + |n| of the mean selected features of `[P, K, D]` rows."""
    distances: Tensor = (margin - abnormal.mean(dim=1).norm(dim=1)).abs() + normal.mean(dim=1).norm(dim=1)
    return distances


def roughness(scores: Tensor, across: bool) -> Tensor:
    """Return the sum of squared steps of scores `[B, T]`; `across` also counts steps from one video to the next."""
    steps = scores.flatten().diff() if across else scores.diff(dim=1)
    return steps.square().sum()


class BagLossConfig(MethodConfig):
    """Constants of RTFM's selection and losses.

    `margin` is an absolute target for the norm of aggregated features (dropout included) and so depends on their
    width and scale; `magnitude_weight` * `margin`^2 = 1 is what the official code balances. Each weight switches its
    loss off, `select_dropout` 0 the random selection.
    """

    selected_share: int = 10
    select_dropout: float = 0.7
    margin: float = 100.0
    magnitude_weight: float = 1e-4
    smooth: float = 8e-4
    smooth_across_videos: bool = True
    sparsity: float = 8e-3


class BagLosses:
    """RTFM's losses of a batch (Eq. 4 to 6): what is selected stands for its video."""

    def __init__(
        self, config: BagLossConfig, features: Tensor, scores: Tensor, batch: Batch, masks: tuple[Tensor, Tensor]
    ) -> None:
        """Select from features `[B * C, T, D]` by scores `[B, T]`; masks `[B, T]` of normal and abnormal videos."""
        self.config, self.batch, self.scores = config, batch, scores
        count, videos = max(1, scores.shape[1] // config.selected_share), batch.normal // batch.crops
        self.suspect = scores[videos:]
        self.normal = select(features[: batch.normal], scores[:videos], batch.crops, count, masks[0])
        self.abnormal = select(features[batch.normal :], self.suspect, batch.crops, count, masks[1])

    def pairs(self) -> Tensor:
        """Return the separation of each pair of a normal and an abnormal row, `[P]`."""
        return separation(
            *paired(self.normal.features, self.abnormal.features, self.batch.crops), margin=self.config.margin
        )

    def terms(self) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c = self.config
        chosen = torch.cat([self.normal.scores, self.abnormal.scores])
        return {
            "bags": F.binary_cross_entropy(chosen, self.batch.abnormal[:: self.batch.crops]),
            "magnitude": c.magnitude_weight * self.pairs().square().mean(),
            "smooth": c.smooth * roughness(self.suspect, c.smooth_across_videos),
            "sparsity": c.sparsity * self.suspect.norm(),
        }


def random_masks(scores: Tensor, normal: int, share: float, training: bool) -> tuple[Tensor, Tensor]:
    """Return the selection masks `[B, T]` of the first `normal` videos and of the rest: ones after dropout."""
    abnormal = dropout(torch.ones_like(scores[normal:]), share, training)
    return dropout(torch.ones_like(scores[:normal]), share, training), abnormal
