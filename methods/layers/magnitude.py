"""Feature magnitude learning (RTFM, Tian et al., arXiv 2101.10030), which CLIP-TSA and MGFN build on.

Axes: R rows (one crop of a video each), B videos, C crops, T snippets, D channels, K selected snippets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.method import Batch, MethodConfig
from methods.layers.time import valid_mask


class NonLocal(nn.Module):
    """Every snippet receives the mean over the video of (theta . phi) g; no softmax, identity at the start."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.g = nn.Conv1d(dim, inner, 1)
        self.theta = nn.Conv1d(dim, inner, 1)
        self.phi = nn.Conv1d(dim, inner, 1)
        self.out = nn.Sequential(nn.Conv1d(inner, dim, 1), nn.BatchNorm1d(dim))

    def start_as_identity(self) -> None:
        """Zero the last normalisation, as RTFM does."""
        for parameter in self.out[1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map x `[R, D, T]`; `inside` `[R, 1, T]` is 1 at valid snippets."""
        # (theta^T phi) g is theta^T (phi g^T): no T x T matrix is needed.
        mixed = self.phi(x) @ (self.g(x) * inside).transpose(1, 2)
        spread: Tensor = self.out(mixed.transpose(1, 2) @ self.theta(x) / inside.sum(dim=2, keepdim=True))
        return spread + x


class MultiScale(nn.Module):
    """Dilated convolutions beside a non-local block, joined by a convolution, with a residual (RTFM, Sec. 3.2)."""

    def __init__(self, dim: int, dilations: Sequence[int], non_local: bool) -> None:
        super().__init__()
        branch = max(1, dim // 4)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv1d(dim, branch, 3, padding=d, dilation=d), nn.ReLU(), nn.BatchNorm1d(branch))
            for d in dilations
        )
        self.reduce = nn.Conv1d(dim, branch, 1, bias=False) if non_local else None
        self.non_local = NonLocal(branch, max(1, dim // 8)) if non_local else None
        joined = branch * (len(dilations) + non_local)
        self.join = nn.Sequential(nn.Conv1d(joined, dim, 3, padding=1, bias=False), nn.ReLU(), nn.BatchNorm1d(dim))

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map x `[R, T, D]` to `[R, T, D]`; `inside` `[R, 1, T]` is 1 at valid snippets, and padding stays unseen."""
        x = x.transpose(1, 2) * inside
        parts = [branch(x) for branch in self.branches]
        if self.reduce is not None and self.non_local is not None:
            parts.append(self.non_local(F.relu(self.reduce(x)), inside))
        joined: Tensor = self.join(torch.cat(parts, dim=1) * inside) + x
        return joined.transpose(1, 2)


class MagnitudeNet(nn.Module):
    """Multi-scale features and a score for each; dropout follows every layer and the features themselves."""

    def __init__(
        self, dim: int, widths: Sequence[int], dropout: float, dilations: Sequence[int], non_local: bool
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.aggregate = MultiScale(dim, dilations, non_local) if dilations or non_local else None
        sizes = [dim, *widths, 1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            if isinstance(module, NonLocal):
                module.start_as_identity()

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[R, T, D]` and scores `[R, T]` of x `[R, T, D]`."""
        if self.aggregate is not None:
            x = self.aggregate(x, valid_mask(lengths, x.shape[1])[:, None].to(x.dtype))
        features = hidden = self._drop(x)
        for layer in list(self.layers)[:-1]:
            hidden = self._drop(F.relu(layer(hidden)))
        return features, self.layers[-1](hidden).squeeze(2).sigmoid()

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


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


def random_masks(scores: Tensor, normal: int, dropout: float, training: bool) -> tuple[Tensor, Tensor]:
    """Return the selection masks `[B, T]` of the first `normal` videos and of the rest: ones after dropout."""
    abnormal = F.dropout(torch.ones_like(scores[normal:]), dropout, training)
    return F.dropout(torch.ones_like(scores[:normal]), dropout, training), abnormal


# Names in official checkpoints of RTFM and CLIP-TSA -> ours, of a model that calls its MagnitudeNet `net`.
NAMES = {
    "Aggregate.conv_1.": "net.aggregate.branches.0.",
    "Aggregate.conv_2.": "net.aggregate.branches.1.",
    "Aggregate.conv_3.": "net.aggregate.branches.2.",
    "Aggregate.conv_4.0.": "net.aggregate.reduce.",
    "Aggregate.conv_5.": "net.aggregate.join.",
    "Aggregate.non_local.W.": "net.aggregate.non_local.out.",
    "Aggregate.non_local.": "net.aggregate.non_local.",
    "fc1.": "net.layers.0.",
    "fc2.": "net.layers.1.",
    "fc3.": "net.layers.2.",
}


def sizes(state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """Return the feature width D and the head's widths in an official state."""
    return state["fc1.weight"].shape[1], {"widths": (state["fc1.weight"].shape[0], state["fc2.weight"].shape[0])}
