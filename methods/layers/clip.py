"""Blocks of the CLIP-based methods: video encoder and alignment with class texts.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.layers.graphs import GraphLayer, distance_adjacency, similarity_adjacency


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), CLIP's activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply elementwise."""
        return x * torch.sigmoid(1.702 * x)


class MLP(nn.Module):
    """D -> 4D -> D with QuickGELU, named as in CLIP."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(dim, 4 * dim)
        self.gelu = QuickGELU()
        self.c_proj = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        mapped: Tensor = self.c_proj(self.gelu(self.c_fc(x)))
        return mapped


class LocalBlock(nn.Module):
    """Pre-norm transformer block whose attention stays inside fixed, non-overlapping windows of time.

    VadCLIP's local temporal adapter: equal to full attention under a block-diagonal mask, at T * window cost.
    """

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)
        self.ln_2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`; the last window may be short."""
        x = x + self._attend(self.ln_1(x))
        mapped: Tensor = x + self.mlp(self.ln_2(x))
        return mapped

    def _attend(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        full = length - length % self.window
        parts = []
        if full:
            windows = x[:, :full].reshape(-1, self.window, dim)
            parts.append(self.attn(windows, windows, windows, need_weights=False)[0].reshape(batch, full, dim))
        if full < length:
            tail = x[:, full:]
            parts.append(self.attn(tail, tail, tail, need_weights=False)[0])
        return torch.cat(parts, dim=1)


class VideoEncoder(nn.Module):
    """Video encoder of VadCLIP (arXiv 2308.11681) and DSANet: local attention, then two graphs over snippets.

    As published, nothing is masked by length except the similarity graph.
    """

    distance: Tensor

    def __init__(self, dim: int, length: int, layers: int, heads: int, window: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(length, dim) * 0.01)
        self.blocks = nn.ModuleList(LocalBlock(dim, heads, window) for _ in range(layers))
        self.similar = nn.ModuleList([GraphLayer(dim, dim // 2), GraphLayer(dim // 2, dim // 2)])
        self.near = nn.ModuleList([GraphLayer(dim, dim // 2), GraphLayer(dim // 2, dim // 2)])
        self.gelu = QuickGELU()
        self.join = nn.Linear(dim, dim)
        self.mlp = MLP(dim)
        self.classifier = nn.Linear(dim, 1)
        self.register_buffer("distance", distance_adjacency(length), persistent=False)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return visual features V `[B, T, D]` and binary logits a `[B, T]` of features `[B, T, D]`.

        T is at most the length that the encoder was built for.
        """
        length = features.shape[1]
        z = features + self.positions[:length]
        for block in self.blocks:
            z = block(z)
        similar, near = z, z
        similarity, distance = similarity_adjacency(z, lengths), self.distance[:length, :length]
        for by_content, by_time in zip(self.similar, self.near, strict=True):
            similar = self.gelu(by_content(similar, similarity))
            near = self.gelu(by_time(near, distance))
        visual: Tensor = self.join(torch.cat([similar, near], dim=2))
        logits: Tensor = self.classifier(visual + self.mlp(visual))
        return visual, logits.squeeze(2)


class TextAlignment(nn.Module):
    """VadCLIP's visual prompt: texts are shifted by the video's attended feature, then compared with snippets."""

    def __init__(self, dim: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.mlp = MLP(dim)

    def forward(self, visual: Tensor, logits: Tensor, text: Tensor) -> Tensor:
        """Return class logits `[B, T, C]` of visual features `[B, T, D]`, binary logits `[B, T]`, texts `[C, D]`."""
        attended = unit((logits[:, None, :] @ visual).squeeze(1))
        fused: Tensor = text[None] + attended[:, None]
        fused = fused + self.mlp(fused)
        return unit(visual) @ unit(fused).transpose(1, 2) / self.temperature


def unit(x: Tensor) -> Tensor:
    """Return x / |x| over the last axis; a zero vector gives NaN, as in the official code."""
    norms: Tensor = x.norm(dim=-1, keepdim=True)
    return x / norms


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the batch mean of -sum(target * log softmax(logits)) for `[B, C]` targets that sum to 1."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
