"""The multi-scale temporal network of RTFM (Tian et al., arXiv 2101.10030, Sec. 3.2), which CLIP-TSA uses too.

Axes: R rows (one crop of a video each), T snippets, D channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import TimeConv, TimeNorm, by_channel, by_time, side_by_side
from .dropout import dropout
from .time import valid_mask


class NonLocal(nn.Module):
    """Every snippet receives the mean over the video of (theta . phi) g; no softmax, identity at the start."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.g = TimeConv(dim, inner, 1)
        self.theta = TimeConv(dim, inner, 1)
        self.phi = TimeConv(dim, inner, 1)
        self.out = nn.Sequential(TimeConv(inner, dim, 1), TimeNorm(dim))

    def start_as_identity(self) -> None:
        """Zero the last normalisation, as RTFM does."""
        for parameter in self.out[1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:
        """Map x `[R, T, D]`; `inside` `[R, T, 1]` is 1 at valid snippets, None where all are."""
        # (theta phi^T) g is theta (phi^T g): no T x T matrix is needed.
        mixed = self.phi(x).transpose(1, 2) @ _inside(self.g(x), inside)
        count = x.shape[1] if inside is None else inside.sum(dim=1, keepdim=True)
        spread: Tensor = self.out(self.theta(x) @ mixed / count)
        return spread + x


class MultiScale(nn.Module):
    """Dilated convolutions beside a non-local block, joined by a convolution, with a residual (RTFM, Sec. 3.2)."""

    def __init__(self, dim: int, dilations: Sequence[int], non_local: bool) -> None:
        super().__init__()
        branch = max(1, dim // 4)
        self.branches = nn.ModuleList(
            nn.Sequential(TimeConv(dim, branch, 3, padding=d, dilation=d), nn.ReLU(), TimeNorm(branch))
            for d in dilations
        )
        self.reduce = TimeConv(dim, branch, 1, bias=False) if non_local else None
        self.non_local = NonLocal(branch, max(1, dim // 8)) if non_local else None
        joined = branch * (len(dilations) + non_local)
        self.join = nn.Sequential(TimeConv(joined, dim, 3, padding=1, bias=False), nn.ReLU(), TimeNorm(dim))

    def forward(self, x: Tensor, inside: Tensor | None) -> Tensor:
        """Map x `[R, T, D]` to `[R, T, D]`; `inside` `[R, T, 1]` is 1 at valid snippets, None where all are.

        Padding stays unseen.
        """
        x = _inside(x, inside)
        # In training batch norm reads channel by channel.
        seen = by_channel(x) if self.training else by_time(x)
        parts = [branch(seen) for branch in self.branches]
        if self.reduce is not None and self.non_local is not None:
            parts.append(self.non_local(F.relu(self.reduce(seen)), inside))
        joined: Tensor = self.join(_inside(side_by_side(parts), inside))
        return x + joined


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
            # Known without waiting only on a CPU, and a value that a compiled graph would break at.
            looked_at = lengths.device.type == "cpu" and not torch.compiler.is_compiling()
            whole = looked_at and bool((lengths == x.shape[1]).all())
            inside = None if whole else valid_mask(lengths, x.shape[1])[:, :, None].to(x.dtype)
            x = self.aggregate(x, inside)
        features = hidden = self._drop(x)
        for layer in list(self.layers)[:-1]:
            hidden = self._drop(F.relu(layer(hidden)))
        return features, self.layers[-1](hidden).squeeze(2).sigmoid()

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


def _inside(x: Tensor, inside: Tensor | None) -> Tensor:
    return x if inside is None else x * inside


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


def net_sizes(state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """Return the feature width D and the head's widths in an official state."""
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    hidden, dim = plain["fc1.weight"].shape
    return dim, {"widths": (hidden, plain["fc2.weight"].shape[0])}
