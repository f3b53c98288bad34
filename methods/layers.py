"""Blocks shared by the CLIP-based methods, and pooling over time that respects lengths.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


def valid_mask(lengths: Tensor, length: int) -> Tensor:
    """Return which of `length` snippets lie inside each video, `[B, T]` bool."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def similarity_adjacency(x: Tensor, lengths: Tensor, threshold: float = 0.7) -> Tensor:
    """Return `[B, T, T]`: cosine similarities, zero up to the threshold, softmax over the valid columns.

    Rows and columns beyond the length are zero. Zeroed similarities stay in the softmax as exp(0).
    """
    norms = x.norm(dim=2)
    cosine = x @ x.transpose(1, 2) / (norms[:, :, None] * norms[:, None, :] + 1e-20)
    kept = torch.where(cosine > threshold, cosine, torch.zeros_like(cosine))
    valid = valid_mask(lengths, x.shape[1])
    return kept.masked_fill(~valid[:, None, :], -torch.inf).softmax(dim=2) * valid[:, :, None]


def distance_adjacency(length: int) -> Tensor:
    """Return exp(-|i - j| / e), `[T, T]`: constant, not normalised."""
    steps = torch.arange(length, dtype=torch.float32)
    return torch.exp(-(steps[:, None] - steps[None, :]).abs() / math.e)


class GraphLayer(nn.Module):
    """A X W plus a residual: a convolution over 5 snippets where the width changes, else the identity."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, out)))
        self.residual = nn.Conv1d(dim, out, kernel_size=5, padding=2) if dim != out else None

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D']` along `adjacency` `[T, T]` or `[B, T, T]`."""
        rest = x if self.residual is None else self.residual(x.transpose(1, 2)).transpose(1, 2)
        return adjacency @ (x @ self.weight) + rest


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


class FeedForward(nn.Module):
    """D -> 4D -> D with exact GELU."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        mapped: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return mapped


class CrossAttention(nn.Module):
    """Attention of x to y by softmax, or (`rectified`) by the ReLU of scaled cosines, which need not sum to 1."""

    def __init__(self, dim: int, heads: int, rectified: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.learn_scale = nn.Parameter(torch.ones(heads, 1, 1)) if rectified else None

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map x `[B, T, D]` and y `[B, S, D]` to `[B, T, D]`."""
        q, k, v = (self._split(part) for part in (self.q(x), *self.kv(y).chunk(2, dim=2)))
        if self.learn_scale is None:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3)
            mixed = F.relu(self.learn_scale * cosine) @ v
        joined: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        heads: Tensor = x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)
        return heads


class PrototypeBlock(nn.Module):
    """Pre-norm cross-attention (one norm for both streams) and feed-forward; rectified ones have no first residual."""

    def __init__(self, dim: int, heads: int, rectified: bool) -> None:
        super().__init__()
        self.residual = not rectified
        self.norm1 = nn.LayerNorm(dim, eps=1e-8)
        self.attn = CrossAttention(dim, heads, rectified)
        self.norm2 = nn.LayerNorm(dim, eps=1e-8)
        self.mlp = FeedForward(dim)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map x `[B, T, D]`, attending to y `[B, S, D]`, to `[B, T, D]`."""
        attended = self.attn(self.norm1(x), self.norm1(y))
        x = x + attended if self.residual else attended
        mapped: Tensor = x + self.mlp(self.norm2(x))
        return mapped


def unit(x: Tensor) -> Tensor:
    """Return x / |x| over the last axis; a zero vector gives NaN, as in the official code."""
    norms: Tensor = x.norm(dim=-1, keepdim=True)
    return x / norms


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


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the batch mean of -sum(target * log softmax(logits)) for `[B, C]` targets that sum to 1."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
