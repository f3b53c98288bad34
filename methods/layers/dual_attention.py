"""Transformer whose heads join two attention maps, learned and by distance (UR-DMU, arXiv 2302.05160, Sec. 3.2).

BN-WVAD (arXiv 2311.15367) takes it over. Axes: B videos, T snippets, D input channels, H hidden channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .clip import depth
from .convolution import TimeConv
from .dropout import Dropout
from .graphs import by_distance

Prior = Literal["columns", "rows", "off"]


class DualAttention(nn.Module):
    """Softmax attention beside a fixed map exp(-|i - j| / e), each with values of its own.

    The official code divides the fixed map by the wrong sums, so that its columns add to 1 (`prior` "columns") and
    snippets at a video's ends get less; "rows" is the intended normalisation, "off" leaves the map out.
    """

    def __init__(self, dim: int, heads: int, width: int, dropout: float, prior: Prior) -> None:
        super().__init__()
        self.heads = heads
        self.prior = prior
        maps = 1 if prior == "off" else 2
        self.project = nn.Linear(dim, (2 + maps) * width, bias=False)
        self.out = nn.Linear(maps * width, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map `[B, T, H]` to `[B, T, H]`; no snippet looks at one that is not `valid` `[B, T]` (bool)."""
        query, key, value, *near = self.project(x).chunk(3 if self.prior == "off" else 4, dim=2)
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        mask = valid[:, None, None, :]
        joined = F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)
        if near:
            joined = torch.cat([joined, self._by_distance(near[0], valid).unflatten(2, (self.heads, -1))], dim=3)
        mapped: Tensor = self.dropout(self.out(joined.flatten(2)))
        return mapped

    def _by_distance(self, values: Tensor, valid: Tensor) -> Tensor:
        inside = valid[:, :, None].to(values.dtype)
        # At least 1 in a video, where it counts the snippet itself; far behind its end it may be 0.
        sums = by_distance(inside).clamp_min(1.0)
        if self.prior == "rows":
            return by_distance(values * inside) / sums
        return by_distance(values * inside / sums)


class DualBlock(nn.Module):
    """Pre-norm transformer block: both attentions, then H -> `feedforward` -> H with GELU."""

    def __init__(self, dim: int, heads: int, width: int, feedforward: int, dropout: float, prior: Prior) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(dim)
        self.attention = DualAttention(dim, heads, width, dropout, prior)
        self.norm_2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, feedforward),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(feedforward, dim),
            Dropout(dropout),
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map `[B, T, H]` to `[B, T, H]`."""
        x = x + self.attention(self.norm_1(x), valid)
        mapped: Tensor = x + self.mlp(self.norm_2(x))
        return mapped


class DualEncoder(nn.Module):
    """A convolution over 3 snippets, then transformer blocks."""

    def __init__(
        self,
        dim: int,
        hidden: int,
        layers: int,
        heads: int,
        width: int,
        feedforward: int,
        dropout: float = 0.0,
        prior: Prior = "columns",
    ) -> None:
        super().__init__()
        self.embed = TimeConv(dim, hidden, kernel_size=3, padding=1)
        self.blocks = nn.ModuleList(DualBlock(hidden, heads, width, feedforward, dropout, prior) for _ in range(layers))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, H]`; what is not `valid` `[B, T]` changes no valid snippet."""
        x = F.relu(self.embed(features * valid[:, :, None]))
        for block in self.blocks:
            x = block(x, valid)
        return x


def encoder_names(layers: int, blocks: str = "selfatt") -> dict[str, str]:
    """Return the official prefixes of an encoder's keys and ours, of a model that calls it `encoder`.

    `blocks` is the official name of its transformer.
    """
    names = {"embedding.conv_1.0.": "encoder.embed."}
    for i in range(layers):
        theirs, ours = f"{blocks}.layers.{i}.", f"encoder.blocks.{i}."
        names |= {
            f"{theirs}0.norm.": f"{ours}norm_1.",
            f"{theirs}0.fn.to_qkv.": f"{ours}attention.project.",
            f"{theirs}0.fn.to_out.0.": f"{ours}attention.out.",
            f"{theirs}1.norm.": f"{ours}norm_2.",
            f"{theirs}1.fn.net.": f"{ours}mlp.",
        }
    return names


def encoder_sizes(state: Mapping[str, Tensor], blocks: str = "selfatt") -> tuple[int, dict[str, Any]]:
    """Return the feature width D and the config values of the encoder in an official state; heads do not show."""
    hidden, dim, _ = state["embedding.conv_1.0.weight"].shape
    return dim, {
        "hidden": hidden,
        "layers": depth(state, f"{blocks}.layers."),
        "attention_width": state[f"{blocks}.layers.0.0.fn.to_qkv.weight"].shape[0] // 4,
        "feedforward": state[f"{blocks}.layers.0.1.fn.net.0.weight"].shape[0],
    }
