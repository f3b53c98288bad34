"""MGFN as published (mil 4)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.layers.magnitude import select
from harness.methods.layers.norm import ChannelNorm
from harness.methods.mgfn import MGFN, Block, Focus, Glance
from tests.benchmarks.plain._time import convolved, normalised, sequence


class Plain(MGFN):
    """What is more work than needed.

    - GLANCE: the T x T attention map of every head.
    - evaluation: selects snippets by magnitude, which only losses read, for both halves of a batch of one video; one
      video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[R, T, C]` and scores `[R, T]` of rows `[R, T, D]` of equal lengths."""
        c = self.config
        x = convolved(self.to_tokens, features.transpose(1, 2))
        x = x + c.magnitude_ratio * convolved(self.to_mag, features.norm(dim=2)[:, None])
        for index, stage in enumerate(self.stages):
            for block in stage:
                x = mapped(block, x)
            if index < len(self.between):
                norm, widen = self.between[index]
                x = convolved(widen, channels(norm, x))
        x = self.norm(x.transpose(1, 2))
        scores = self.fc(x).squeeze(2).sigmoid()
        if not self.training:
            for _ in ("normal", "abnormal"):
                select(x, scores, 1, c.segments // c.selected_share, torch.ones_like(scores))
        return x, scores


def mapped(block: Block, x: Tensor) -> Tensor:
    """Map `[R, C, T]` to `[R, C, T]`."""
    x = x + convolved(block.conv, x)
    x = x + (glance(block.mix, x) if isinstance(block.mix, Glance) else focus(block.mix, x))
    norm, *layers = block.mlp
    out: Tensor = x + sequence(layers, channels(norm, x))
    return out


def channels(norm: ChannelNorm, x: Tensor) -> Tensor:
    """Normalise the channels of `[R, C, T]`."""
    deviation = x.var(dim=1, unbiased=False, keepdim=True).sqrt()
    out: Tensor = (x - x.mean(dim=1, keepdim=True)) / (deviation + 1e-5) * norm.g + norm.b
    return out


def glance(layer: Glance, x: Tensor) -> Tensor:
    """Softmax attention over all snippets."""
    parts = convolved(layer.to_qkv, channels(layer.norm, x)).chunk(3, dim=1)
    query, key, value = (part.unflatten(1, (layer.heads, -1)) for part in parts)
    scale = query.shape[2] ** -0.5
    attention = ((query * scale).transpose(2, 3) @ key).softmax(dim=3)
    mixed = (attention @ value.transpose(2, 3)).transpose(2, 3).flatten(1, 2)
    return convolved(layer.to_out, mixed)


def focus(layer: Focus, x: Tensor) -> Tensor:
    """Each head's kernel over its channels, which alternate with those of other heads."""
    values = convolved(layer.to_v, normalised(layer.norm, x))
    mixed = layer.rel_pos(values.unflatten(1, (-1, layer.heads)).flatten(0, 1))
    return convolved(layer.to_out, mixed.reshape(values.shape))
