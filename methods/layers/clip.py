"""Blocks of the CLIP-based methods: video encoder and alignment with class texts.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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

    As published, nothing is masked by length except the similarity graph. Without `graph` the attention's output is V.
    """

    distance: Tensor

    def __init__(
        self,
        dim: int,
        length: int,
        layers: int,
        heads: int,
        window: int,
        threshold: float = 0.7,
        graph: bool = True,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.positions = nn.Parameter(torch.randn(length, dim) * 0.01)
        self.blocks = nn.ModuleList(LocalBlock(dim, heads, window) for _ in range(layers))
        widths = [(dim, dim // 2), (dim // 2, dim // 2)] if graph else []
        self.similar = nn.ModuleList(GraphLayer(*sizes) for sizes in widths)
        self.near = nn.ModuleList(GraphLayer(*sizes) for sizes in widths)
        self.gelu = QuickGELU()
        self.join = nn.Linear(dim, dim) if graph else None
        self.mlp = MLP(dim)
        self.classifier = nn.Linear(dim, 1)
        self.register_buffer("distance", distance_adjacency(length), persistent=False)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return visual features V `[B, T, D]` and binary logits a `[B, T]` of features `[B, T, D]`.

        T is at most the length that the encoder was built for.
        """
        visual = features + self.positions[: features.shape[1]]
        for block in self.blocks:
            visual = block(visual)
        if self.join is not None:
            visual = self.join(self._graphs(visual, lengths))
        logits: Tensor = self.classifier(visual + self.mlp(visual))
        return visual, logits.squeeze(2)

    def _graphs(self, z: Tensor, lengths: Tensor) -> Tensor:
        length = z.shape[1]
        similar, near = z, z
        similarity, distance = similarity_adjacency(z, lengths, self.threshold), self.distance[:length, :length]
        for by_content, by_time in zip(self.similar, self.near, strict=True):
            similar = self.gelu(by_content(similar, similarity))
            near = self.gelu(by_time(near, distance))
        return torch.cat([similar, near], dim=2)


class TextAlignment(nn.Module):
    """VadCLIP's visual prompt: texts are shifted by the video's attended feature, then compared with snippets.

    Without `visual_prompt` the texts are compared as they are.
    """

    def __init__(self, dim: int, temperature: float, visual_prompt: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.mlp = MLP(dim) if visual_prompt else None

    def forward(self, visual: Tensor, logits: Tensor, text: Tensor) -> Tensor:
        """Return class logits `[B, T, C]` of visual features `[B, T, D]`, binary logits `[B, T]`, texts `[C, D]`."""
        if self.mlp is None:
            return unit(visual) @ unit(text).T / self.temperature
        attended = unit((logits[:, None, :] @ visual).squeeze(1))
        fused: Tensor = text[None] + attended[:, None]
        fused = fused + self.mlp(fused)
        return unit(visual) @ unit(fused).transpose(1, 2) / self.temperature


@dataclass(frozen=True)
class TwoBranch:
    """What a forward pass of VadCLIP's two branches computes."""

    text: Tensor  # [C, D], not normalised
    visual: Tensor  # [B, T, D]
    logits1: Tensor  # [B, T], binary
    logits2: Tensor  # [B, T, C]


def unit(x: Tensor) -> Tensor:
    """Return x / |x| over the last axis; a zero vector gives NaN, as in the official code."""
    norms: Tensor = x.norm(dim=-1, keepdim=True)
    return x / norms


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the batch mean of -sum(target * log softmax(logits)) for `[B, C]` targets that sum to 1."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1).mean()


# Names in official checkpoints of VadCLIP and its descendants -> ours, of a model with `encoder`, `align`, `prompts`.
VADCLIP_NAMES = {
    "frame_position_embeddings.weight": "encoder.positions",
    "temporal.resblocks.": "encoder.blocks.",
    "gc1.": "encoder.similar.0.",
    "gc2.": "encoder.similar.1.",
    "gc3.": "encoder.near.0.",
    "gc4.": "encoder.near.1.",
    "linear.": "encoder.join.",
    "mlp1.": "align.mlp.",
    "mlp2.": "encoder.mlp.",
    "classifier.": "encoder.classifier.",
    "text_prompt_embeddings.weight": "prompts.context",
}


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Replace the prefix of each key (after "module.") by the one that `names` has for it; other keys are left out."""
    found = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        for theirs, ours in names.items():
            if key.startswith(theirs):
                found[ours + key.removeprefix(theirs)] = value
                break
    return found


def depth(state: Mapping[str, Tensor], prefix: str) -> int:
    """Return how many numbered modules `prefix`0., `prefix`1., ... a state dict holds."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
