"""Blocks of the CLIP-based methods: video encoder and alignment with class texts.

Axes: B videos or windows, T snippets, D channels, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .graphs import GraphLayer, distance_adjacency, similarity_adjacency
from .time import sent, valid_mask

# QuickGELU(x) is silu(1.702 x) / 1.702.
_STEEPNESS = 1.702


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), CLIP's activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply elementwise."""
        return x * torch.sigmoid(_STEEPNESS * x)


class MLP(nn.Module):
    """D -> 4D -> D with QuickGELU, named as in CLIP.

    The activation's two factors are applied to the weights: there are far fewer of them than hidden values.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(dim, 4 * dim)
        self.c_proj = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D]` to `[..., D]`."""
        return F.linear(self._hidden(x), self.c_proj.weight / _STEEPNESS, self.c_proj.bias)

    def _hidden(self, x: Tensor) -> Tensor:
        """The hidden values `[..., 4D]`, times 1.702."""
        return F.silu(F.linear(x, _STEEPNESS * self.c_fc.weight, _STEEPNESS * self.c_fc.bias))

    def residual_logits(self, classifier: nn.Linear, x: Tensor) -> Tensor:
        """Return classifier(x + self(x)) `[B, T]` of x `[B, T, D]`, for a classifier of one output.

        Its weights meet those of the second layer first: a vector of 4D in place of a matrix product on all snippets.
        """
        weight = classifier.weight @ self.c_proj.weight / _STEEPNESS
        bias = F.linear(self.c_proj.bias, classifier.weight, classifier.bias)
        return (F.linear(x, classifier.weight) + F.linear(self._hidden(x), weight, bias)).squeeze(2)


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
            parts.append(self._among_all(windows).reshape(batch, full, dim))
        if full < length:
            parts.append(self._among_all(x[:, full:]))
        return torch.cat(parts, dim=1)

    def _among_all(self, x: Tensor) -> Tensor:
        """Attention of x `[B, T, D]` to itself, without the transpositions of `nn.MultiheadAttention`."""
        parts = F.linear(x, self.attn.in_proj_weight, self.attn.in_proj_bias).chunk(3, dim=2)
        query, key, value = (part.unflatten(2, (self.attn.num_heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value)
        joined: Tensor = self.attn.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined


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
        self.threshold, self.window = threshold, window
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

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return visual features V `[B, T, D]` and binary logits a `[B, T]` of features `[B, T, D]`.

        T is at most the length that the encoder was built for. `known` are `lengths` on the CPU where the batch is on
        another device: with them less is computed there.
        """
        visual = self.encode(features, lengths, known)
        return visual, self.classify(visual)

    def encode(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """Return visual features V `[B, T, D]`."""
        if known is None and lengths.device.type == "cpu":
            known = lengths
        visual = self._attended(features + self.positions[: features.shape[1]], known)
        return visual if self.join is None else self.join(self._graphs(visual, lengths))

    def classify(self, visual: Tensor) -> Tensor:
        """Return binary logits `[B, T]` of visual features `[B, T, D]`."""
        return self.mlp.residual_logits(self.classifier, visual)

    def _attended(self, z: Tensor, lengths: Tensor | None) -> Tensor:
        """What the blocks make of snippets with their positions, `[B, T, D]`; `lengths` are on the CPU.

        Windows of nothing but padding hold the same positions in every video: they are computed once.
        """
        batch, length, _ = z.shape
        # A compiled step needs the same shapes in every batch.
        if lengths is None or length % self.window or torch.compiler.is_compiling():
            return self._through_blocks(z)
        held = valid_mask(-(-lengths // self.window), length // self.window)
        if held.all():
            return self._through_blocks(z)
        windows, empty = z.unflatten(1, (-1, self.window)), self.positions[:length].unflatten(0, (-1, self.window))
        rows = held.flatten().nonzero().squeeze(1)
        places = torch.arange(held.shape[1]).add(len(rows)).repeat(batch)
        places = sent(places.index_copy(0, rows, torch.arange(len(rows))), z.device)
        packed = torch.cat([windows.flatten(0, 1).index_select(0, sent(rows, z.device)), empty])
        mixed: Tensor = self._through_blocks(packed).index_select(0, places).unflatten(0, (batch, -1)).flatten(1, 2)
        return mixed

    def _through_blocks(self, z: Tensor) -> Tensor:
        for block in self.blocks:
            z = block(z)
        return z

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
