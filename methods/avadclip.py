"""AVadCLIP: audio-visual collaboration for robust video anomaly detection (arXiv 2504.04495), the teacher.

It is VadCLIP whose visual features take in what a causal convolution network hears. Every shape is `[B, T, D]`: B
windows, T snippets, D channels, those of the pictures first, then as many of the sound; C classes, class 0 normal.

The official code brings pictures and sound to the training length each by itself, and ignores the length of the sound;
here a row holds both, and unequal lengths are settled when a data set is imported.

What the official code does and this file repeats, beside what VadCLIP repeats: padded rows take part in convolutions
and fusion; a network meant to weigh texts by the video attends over equal rows, so it changes nothing and is left out;
the weights of the classes in the focal loss are learned, and so can only fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import Unsupported
from harness.plugin import Batch, MethodCard, Task

from .layers.clip import VADCLIP_NAMES, TwoBranch, renamed
from .layers.dropout import dropout
from .layers.time import topk_mean
from .vadclip import VadCLIP, VadCLIPConfig


class AVadCLIPConfig(VadCLIPConfig):
    """VadCLIP's constants, as published for XD-Violence, and those of the sound and of the focal loss.

    Without `sound` the features are those of the pictures alone. The alignment loss and the focal loss are the halves
    of what the paper calls one loss.
    """

    visual_layers: int = 2
    attn_window: int = 4
    sound: bool = True
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.1
    class_weight: float = 0.25
    alignment_weight: float = 0.5
    focal_weight: float = 0.5
    focal_power: float = 2.0
    text_weight: float = 1e-4
    sampling_mode: Literal["pairs", "mixed"] = "mixed"
    batch: int = 96
    drop_last: bool = False
    lr: float = 1e-5
    milestones: tuple[int, ...] = (3, 6, 10)
    look_every: int | None = None
    look_first: int = 0


class CausalConv(nn.Module):
    """A convolution of two taps, of a snippet and of the one `step` before it, with normalised weights."""

    def __init__(self, dim: int, step: int) -> None:
        super().__init__()
        self.step = step
        plain = nn.Conv1d(dim, dim, 2)
        self.bias = plain.bias
        # The norms of the output channels' weights are parameters of their own.
        self.directions = plain.weight
        self.norms = nn.Parameter(plain.weight.detach().norm(dim=(1, 2), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        before, now = (self.directions * (self.norms / self.directions.norm(dim=(1, 2), keepdim=True))).unbind(dim=2)
        earlier = F.pad(x, (0, 0, self.step, 0))[:, : x.shape[1]]
        return F.linear(earlier, before) + F.linear(x, now, self.bias)


class CausalBlock(nn.Module):
    """Two causal convolutions with what they are added to."""

    def __init__(self, dim: int, step: int, share: float) -> None:
        super().__init__()
        self.first, self.second = CausalConv(dim, step), CausalConv(dim, step)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        y = x
        for layer in (self.first, self.second):
            y = dropout(F.relu(layer(y)), self.share, self.training)
        return F.relu(y + x)


class GatedFusion(nn.Module):
    """Adds to the pictures what pictures and sound say together, as far as a gate lets it through."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dim, dim)
        self.widen, self.narrow = nn.Linear(2 * dim, dim), nn.Linear(dim, dim)

    def forward(self, pictures: Tensor, sound: Tensor) -> Tensor:
        """Map `[B, T, D]` and `[B, T, D]` to `[B, T, D]`."""
        joined = torch.cat([pictures, sound], dim=2)
        fused: Tensor = pictures + self.gate(joined).sigmoid() * self.narrow(F.gelu(self.widen(joined)))
        return fused


class FocalVadCLIP(VadCLIP):
    """What teacher and student share: rows of pictures and sound, and a focal loss of the alignment branch."""

    config: AVadCLIPConfig

    def __init__(self, config: AVadCLIPConfig, task: Task) -> None:
        super().__init__(config, task)
        # Nothing but the focal loss reads it.
        self.class_weights = nn.Parameter(torch.full((len(task.classes),), config.class_weight))

    @classmethod
    def check(cls, task: Task) -> None:
        """Raise `Unsupported` in one line unless half of the channels are of the sound."""
        super().check(task)
        if 2 * task.audio_dim != task.dim:
            raise Unsupported(
                f"{cls.card.name} needs as many channels of sound as of pictures; {task.dataset} has "
                f"{task.audio_dim} of {task.dim}"
            )

    def losses(self, out: TwoBranch, batch: Batch) -> dict[str, Tensor]:
        """Return VadCLIP's loss terms, weighted, and the focal loss of the alignment branch."""
        return super().losses(out, batch) | {"focal": self.config.focal_weight * self.focal(out, batch)}

    def focal(self, out: TwoBranch, batch: Batch) -> Tensor:
        """Cross-entropy of the video's classes, less where they are sure, by each class's learned weight."""
        surprise = F.log_softmax(topk_mean(out.logits2, batch.lengths, self.config.topk_divisor), dim=1)
        target = batch.labels / batch.labels.sum(dim=1, keepdim=True)
        unsure = 1 - (target * surprise.exp()).sum(dim=1)
        weights = (target * self.class_weights).sum(dim=1)
        return -(weights * unsure**self.config.focal_power * (target * surprise).sum(dim=1)).mean()

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width with the sound, window length and depth; heads and attention window do not show in the shapes."""
        dim, sizes = super().official_sizes(state)
        return 2 * dim, sizes

    @classmethod
    def official_audio_dim(cls, state: Mapping[str, Tensor]) -> int:
        """Width of the sound, that of the pictures."""
        return super().official_sizes(state)[0]


class AVadCLIP(FocalVadCLIP):
    """VadCLIP on pictures that take in sound through a gate."""

    card = MethodCard(
        name="avadclip",
        title="AVadCLIP",
        family="clip",
        paper="AVadCLIP: Audio-Visual Collaboration for Robust Video Anomaly Detection",
        venue="arXiv",
        year=2025,
        arxiv="2504.04495",
        source="WanshunSu/AVadCLIP@d3f6e16",
        parameters=17_106_441,
        needs_text=True,
        feature_dims=(1024,),
        input_scale="CLIP ViT-B/16 image features, mean norm about 10, and Wav2CLIP features of the sound",
        track="audio-visual",
    )
    Config = AVadCLIPConfig
    # Only its training on XD-Violence can be repeated: the features of its other data set are not released.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {**VadCLIP.presets["fast"], "batch": 16},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sound": {"sound": False},
        **VadCLIP.ablations,
        "focal loss": {"focal_weight": 0.0},
    }

    def __init__(self, config: AVadCLIPConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, task.audio_dim
        if c.sound:
            self.hearing = nn.Sequential(*(CausalBlock(dim, step, c.dropout) for step in c.dilations))
            self.fusion = GatedFusion(dim)

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> TwoBranch:
        """Return texts, fused features and both branches' logits of windows `[B, T, D]`; `known` as VadCLIP's."""
        return self.branches(self.fused(features, lengths, known))

    def fused(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> Tensor:
        """Return visual features that have taken in the sound, `[B, T, D / 2]`."""
        pictures, sound = features.chunk(2, dim=2)
        visual = self.encoder.encode(pictures, lengths, known)
        return self.fusion(visual, self.hearing(sound)) if self.config.sound else visual

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys; what is stored twice is taken by either name."""
        return renamed(state, TEACHER_NAMES)


# Names in official checkpoints -> ours; convolutions are stored under two names.
_CONVOLUTION = {"bias": "bias", "weight_g": "norms", "weight_v": "directions"}
TEACHER_NAMES = {
    **VADCLIP_NAMES,
    "alpha": "class_weights",
    "temporalgatedresidual.gate_proj.0.": "fusion.gate.",
    "temporalgatedresidual.residual_proj.0.": "fusion.widen.",
    "temporalgatedresidual.residual_proj.2.": "fusion.narrow.",
    **{
        f"temporalconvnet.network.{block}.{theirs}.{name}": f"hearing.{block}.{ours}.{_CONVOLUTION[name]}"
        for block in range(3)
        for theirs, ours in (("conv1", "first"), ("conv2", "second"), ("net.0", "first"), ("net.4", "second"))
        for name in _CONVOLUTION
    },
}
