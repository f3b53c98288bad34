"""MGFN: magnitude-contrastive glance-and-focus network (Chen et al., AAAI 2023, arXiv 2211.15098).

What the official code does and this file repeats: the lists are never shuffled, so the same pairs of videos always
meet; the clustering terms compare the first half of the selected rows with the second, which with ten crops is a video
with its own mirror image (with one crop, video i with video i + B / 2); and the sparsity is that of normal videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from harness.errors import Unsupported
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Prediction, Sampling, Schedule, Task, TrainingPlan

from .layers.clip import depth, renamed
from .layers.convolution import TimeConv, TimeNorm, convolved
from .layers.magnitude import Selected, by_crops, paired, random_masks, roughness, select
from .layers.norm import ChannelNorm
from .layers.time import valid_mask


class MGFNConfig(MethodConfig):
    """Names for every constant.

    `margin` acts on differences of L1 norms of the last, normalised features: it goes with the last of `dims`, not
    with the input. `magnitude_ratio` weighs the convolution of the input's norm and goes with its level. `norm_noise`
    is the deviation of the last normalisation's weights at the start; officially all are 1, so that all features have
    one norm, and rounding decides what the first steps select by it. Parts of the paper switch off: `magnitude_ratio`
    0, `mixers` choose glance or focus per stage, each weight its loss.
    """

    # Architecture.
    dims: tuple[int, ...] = (64, 128, 1024)
    depths: tuple[int, ...] = (3, 3, 2)
    mixers: tuple[Literal["glance", "focus"], ...] = ("glance", "focus", "focus")
    head_dim: int = 64
    focus_kernel: int = 5
    feedforward: int = 4
    magnitude_ratio: float = 0.1
    norm_noise: float = 0.0
    # Selection and losses.
    selected_share: int = 10
    select_dropout: float = 0.7
    margin: float = 200.0
    contrast_weight: float = 1e-3
    apart_weight: float = 1e-3
    smooth: float = 8e-4
    sparsity: float = 8e-3
    # Training.
    shuffle: bool = False
    segments: int = 32
    batch: int = 16
    epochs: int = 1000
    steps_per_epoch: int | None = None
    lr: float = 1e-3
    weight_decay: float = 5e-4


class Glance(nn.Module):
    """Softmax attention over the whole video (Sec. 3.2)."""

    def __init__(self, dim: int, head_dim: int, kernel: int) -> None:
        super().__init__()
        self.heads = dim // head_dim
        self.norm = ChannelNorm(dim, axis=2)
        self.to_qkv = TimeConv(dim, 3 * dim, 1, bias=False)
        self.to_out = TimeConv(dim, dim, 1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map `[N, T, C]` to `[N, T, C]`; `inside` `[N, T, 1]` is 1 at valid snippets."""
        parts = self.to_qkv(self.norm(x)).chunk(3, dim=2)
        # Contiguous, or the attention would hold the whole T x T matrix.
        query, key, value = (part.unflatten(2, (self.heads, -1)).transpose(1, 2).contiguous() for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=inside.transpose(1, 2)[:, None] > 0)
        mapped: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return mapped


class Focus(nn.Module):
    """A short convolution over time, one kernel for all channels of a head (Sec. 3.3); heads alternate by channel."""

    def __init__(self, dim: int, head_dim: int, kernel: int) -> None:
        super().__init__()
        self.heads = dim // head_dim
        self.norm = TimeNorm(dim)
        self.to_v = TimeConv(dim, dim, 1, bias=False)
        self.rel_pos = nn.Conv1d(self.heads, self.heads, kernel, padding=kernel // 2, groups=self.heads)
        self.to_out = TimeConv(dim, dim, 1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map `[N, T, C]` to `[N, T, C]`; `inside` `[N, T, 1]` is 1 at valid snippets."""
        values = self.to_v(self.norm(x)) * inside
        kernels, channels = self.rel_pos, values.shape[2]
        weight, bias = (p.repeat(channels // self.heads, *[1] * (p.dim() - 1)) for p in kernels.parameters())
        mapped: Tensor = self.to_out(convolved(values, weight, bias, weight.shape[2] // 2, groups=channels))
        return mapped


class Block(nn.Module):
    """Short-cut convolution, glance or focus, and a feed-forward layer, each with a residual."""

    def __init__(self, dim: int, mixer: str, config: MGFNConfig) -> None:
        super().__init__()
        self.conv = TimeConv(dim, dim, 3, padding=1)
        mix = Glance if mixer == "glance" else Focus
        self.mix = mix(dim, config.head_dim, config.focus_kernel)
        wide = config.feedforward * dim
        self.mlp = nn.Sequential(
            ChannelNorm(dim, axis=2), TimeConv(dim, wide, 1), nn.GELU(), nn.Identity(), TimeConv(wide, dim, 1)
        )

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Map `[N, T, C]` to `[N, T, C]`; `inside` `[N, T, 1]` is 1 at valid snippets."""
        x = x + self.conv(x * inside)
        x = x + self.mix(x, inside)
        mapped: Tensor = x + self.mlp(x)
        return mapped


class MGFN(Method):
    """Glance over the video, then focus on neighbourhoods; feature magnitudes are contrasted between classes."""

    card = MethodCard(
        name="mgfn",
        title="MGFN",
        family="mil",
        paper="MGFN: Magnitude-Contrastive Glance-and-Focus Network for Weakly-Supervised Video Anomaly Detection",
        venue="AAAI",
        year=2023,
        arxiv="2211.15098",
        source="carolchenyx/MGFN.@98e9389",
        published_as="MGFN",
        parameters=28_652_773,
        input_scale="not normalised: the norm of a feature is an input",
    )
    Config = MGFNConfig
    # Only its training on UCF-Crime runs as published.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ucf-crime": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"dims": (64, 128, 256), "depths": (1, 1, 1), "margin": 50.0, "shuffle": True, "batch": 16},
            **{"epochs": 8, "steps_per_epoch": 15, "lr": 3e-4, "average_last": 0.5, "warmup_steps": 20},
            **{"norm_noise": 0.1},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "magnitude input": {"magnitude_ratio": 0.0},
        "glance": {"mixers": ("focus", "focus", "focus")},
        "focus": {"mixers": ("glance", "glance", "glance")},
        "contrast loss": {"contrast_weight": 0.0},
    }
    config: MGFNConfig

    def __init__(self, config: MGFNConfig, task: Task) -> None:
        super().__init__(config, task)
        c = config
        if any(dim % c.head_dim for dim in c.dims) or not len(c.dims) == len(c.depths) == len(c.mixers):
            raise Unsupported(f"mgfn: dims {c.dims} must be multiples of head_dim {c.head_dim}, with depths and mixers")
        self.to_tokens = TimeConv(task.dim, c.dims[0], 3, padding=1)
        self.to_mag = TimeConv(1, c.dims[0], 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(Block(dim, mixer, c) for _ in range(count))
            for dim, count, mixer in zip(c.dims, c.depths, c.mixers, strict=True)
        )
        self.between = nn.ModuleList(
            nn.Sequential(ChannelNorm(a, axis=2), TimeConv(a, b, 1)) for a, b in zip(c.dims, c.dims[1:], strict=False)
        )
        self.norm = nn.LayerNorm(c.dims[-1])
        self.fc = nn.Linear(c.dims[-1], 1)
        if c.norm_noise:
            nn.init.normal_(self.norm.weight, 1.0, c.norm_noise)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return features `[R, T, C]` and scores `[R, T]` of rows `[R, T, D]`, one crop each."""
        inside = valid_mask(lengths, features.shape[1])[:, :, None].to(features.dtype)
        norms = features.norm(dim=2, keepdim=True)
        x = self.to_tokens(features * inside)
        x = x + self.config.magnitude_ratio * self.to_mag(norms * inside)
        for index, stage in enumerate(self.stages):
            for block in stage:  # type: ignore[attr-defined]
                x = block(x, inside)
            if index < len(self.between):
                x = self.between[index](x)
        x = self.norm(x)
        return x, self.fc(x).squeeze(2).sigmoid()

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        features, rows = self(batch.features, batch.lengths)
        scores = by_crops(rows, batch.crops).mean(dim=1)
        masks = random_masks(scores, batch.normal // batch.crops, self.config.select_dropout, self.training)
        return self.losses(scores, *self.select(features, scores, batch, masks), batch)

    def select(
        self, features: Tensor, scores: Tensor, batch: Batch, masks: tuple[Tensor, Tensor]
    ) -> tuple[Selected, Selected]:
        """Return what is selected of normal and of abnormal videos, by feature norm."""
        count, videos = max(1, scores.shape[1] // self.config.selected_share), batch.normal // batch.crops
        return (
            select(features[: batch.normal], scores[:videos], batch.crops, count, masks[0]),
            select(features[batch.normal :], scores[videos:], batch.crops, count, masks[1]),
        )

    def losses(self, scores: Tensor, normal: Selected, abnormal: Selected, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted (Eq. 6 to 8), of scores `[B, T]`, normal videos first."""
        c = self.config
        contrast = self.contrast(normal, abnormal, batch.crops)
        return {
            "bags": F.binary_cross_entropy(torch.cat([normal.scores, abnormal.scores]), batch.abnormal[:: batch.crops]),
            "apart": c.contrast_weight * c.apart_weight * contrast["apart"],
            "together_abnormal": c.contrast_weight * contrast["abnormal"],
            "together_normal": c.contrast_weight * contrast["normal"],
            "smooth": c.smooth * roughness(scores, across=False),
            "sparsity": c.sparsity * scores[: batch.normal // batch.crops].norm(),
        }

    def contrast(self, normal: Selected, abnormal: Selected, crops: int) -> dict[str, Tensor]:
        """Return how near the magnitudes of the two classes are, and how far those within each class."""
        low, high = (each.features.abs().sum(dim=2) for each in (normal, abnormal))
        low_rows, high_rows = paired(low, high, crops)
        apart = F.pairwise_distance(high_rows, low_rows)
        return {
            "apart": F.relu(self.config.margin - apart).square().mean(),
            "abnormal": _halves(high),
            "normal": _halves(low),
        }

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets."""
        return Prediction(self(features, lengths)[1])

    def sampling(self) -> Sampling:
        """Pairs of batches of videos with all their crops, pooled to 32 segments, in the order of the lists."""
        c = self.config
        restart: Literal["epoch", "never"] = "epoch" if c.shuffle else "never"
        return Sampling("pairs", c.batch, c.segments, c.epochs, "pool", restart, c.steps_per_epoch, crops="together")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        c = self.config
        return [Schedule(Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay, fused=True))]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Feature width, and widths, depths and kinds of the stages."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        stages = range(depth(plain, "stages."))
        first = [f"stages.{i}.0.layers.0." for i in stages]
        focus = next((name for name in first if f"{name}1.rel_pos.weight" in plain), None)
        dims = tuple(plain[f"{name}0.weight"].shape[0] for name in first)
        sizes: dict[str, Any] = {
            "dims": dims,
            "depths": tuple(depth(plain, f"stages.{i}.0.layers.") for i in stages),
            "mixers": tuple("focus" if f"{name}1.rel_pos.weight" in plain else "glance" for name in first),
            "feedforward": plain[f"{first[0]}2.1.weight"].shape[0] // dims[0],
        }
        if focus is not None:
            heads, _, kernel = plain[f"{focus}1.rel_pos.weight"].shape
            sizes |= {"focus_kernel": kernel, "head_dim": dims[first.index(focus)] // heads}
        return plain["to_tokens.weight"].shape[1], sizes

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        names = {"to_tokens.": "to_tokens.", "to_mag.": "to_mag.", "to_logits.0.": "norm.", "fc.": "fc."}
        for i, count in enumerate(self.config.depths):
            names[f"stages.{i}.1."] = f"between.{i}."
            for j in range(count):
                for number, part in enumerate(("conv.", "mix.", "mlp.")):
                    names[f"stages.{i}.0.layers.{j}.{number}."] = f"stages.{i}.{j}.{part}"
        return renamed(state, names)


def _halves(magnitudes: Tensor) -> Tensor:
    """Mean squared distance of the rows `[R, K]` of the first half from those of the second."""
    half = len(magnitudes) // 2
    if not half:
        return magnitudes.sum() * 0
    return F.pairwise_distance(magnitudes[half : 2 * half], magnitudes[:half]).square().mean()
