"""Axial attention over a grid of segments and frames, in two reversible streams (Ho et al., arXiv 1912.12180).

Axes: G grids, E channels, S segments, F frames of a segment.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .norm import ChannelNorm


class AxisAttention(nn.Module):
    """Pre-norm self-attention of grids `[G, E, S, F]` along one axis, 2 (segments) or 3 (frames)."""

    def __init__(self, dim: int, heads: int, axis: int) -> None:
        super().__init__()
        self.heads, self.axis = heads, axis
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[G, E, S, F]` to `[G, E, S, F]`."""
        # The attended axis second to last, channels last.
        turned = x.permute(0, 5 - self.axis, self.axis, 1)
        normed = self.norm(turned)
        parts = (self.to_q(normed), *self.to_kv(normed).chunk(2, dim=3))
        query, key, value = (part.unflatten(3, (self.heads, -1)).transpose(2, 3) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).flatten(3)
        mapped: Tensor = self.to_out(mixed)
        return mapped.permute(0, 3, 2, 1) if self.axis == 2 else mapped.permute(0, 3, 1, 2)


class GridConv(nn.Module):
    """Norm, 3 x 3 convolution E -> 4E, LeakyReLU, 3 x 3 convolution back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(dim, axes=2)
        self.up = nn.Conv2d(dim, 4 * dim, 3, padding=1)
        self.down = nn.Conv2d(4 * dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[G, E, S, F]` to `[G, E, S, F]`."""
        mapped: Tensor = self.down(F.leaky_relu(self.up(self.norm(x))))
        return mapped


class Streams(nn.Module):
    """A reversible pair: the first stream takes from the second, then the second from the first."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Map two `[G, E, S, F]` to two `[G, E, S, F]`."""
        one = one + self.first(other)
        return one, other + self.second(one)


class AxialTransformer(nn.Module):
    """Learned positions, then `depth` pairs of attention and convolution in two streams that end as their mean."""

    def __init__(self, dim: int, segments: int, frames: int, depth: int, heads: int) -> None:
        super().__init__()
        self.by_segment = nn.Parameter(torch.randn(1, dim, segments, 1))
        self.by_frame = nn.Parameter(torch.randn(1, dim, 1, frames))
        self.pairs = nn.ModuleList()
        for _ in range(depth):
            self.pairs.append(Streams(AxisAttention(dim, heads, 2), AxisAttention(dim, heads, 3)))
            self.pairs.append(Streams(GridConv(dim), GridConv(dim)))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[G, E, S, F]` to `[G, E, S, F]`."""
        one = other = x + self.by_segment + self.by_frame
        for pair in self.pairs:
            one, other = pair(one, other)
        return (one + other) / 2


def axial_names(pairs: int) -> dict[str, str]:
    """Return the official prefixes of `pairs` pairs of blocks and ours, of a model that calls this `axial`."""
    names: dict[str, str] = {}
    for block in range(2 * pairs):
        for stream, number in (("f", "first"), ("g", "second")):
            theirs = f"temporal_model.axial_attn.layers.blocks.{block}.{stream}.net."
            ours = f"axial.pairs.{block}.{number}."
            if block % 2:
                names |= {f"{theirs}0.": f"{ours}norm.", f"{theirs}1.": f"{ours}up.", f"{theirs}3.": f"{ours}down."}
            else:
                names |= {f"{theirs}fn.norm.": f"{ours}norm.", f"{theirs}fn.fn.": ours}
    return names
