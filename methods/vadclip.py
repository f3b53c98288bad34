"""VadCLIP: adapting vision-language models for weakly supervised video anomaly detection (arXiv 2308.11681, AAAI 2024).

Every shape is `[B, T, D]`: B windows, T snippets, D channels; C classes, class 0 normal.

What the official code does and this file repeats: padded rows take part in everything but the similarity graph and
the losses; the visual prompt weighs snippets by raw logits, not by attention weights that sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import MultiStepLR

from harness.errors import Unsupported
from harness.plugin import (
    Batch,
    Looks,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Reading,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)

from .layers.clip import (
    VADCLIP_NAMES,
    TextAlignment,
    TwoBranch,
    VideoEncoder,
    depth,
    renamed,
    soft_cross_entropy,
    unit,
)
from .layers.prompts import ClassPrompts
from .layers.time import topk_mean


class VadCLIPConfig(MethodConfig):
    """Names for every constant.

    Parts of the paper switch off: `visual_layers` 0 is no attention and `attn_window` = `visual_length` a global one,
    `graph` the graph stage, `learned_prompts` the vectors around the class words, `visual_prompt` the shift of the
    texts by the video, and each weight its loss.
    """

    # Architecture.
    visual_length: int = 256
    visual_layers: int = 2
    visual_heads: int = 1
    attn_window: int = 8
    graph: bool = True
    graph_threshold: float = 0.7
    learned_prompts: bool = True
    prompt_prefix: int = 10
    prompt_postfix: int = 10
    visual_prompt: bool = True
    align_temperature: float = 0.07
    # Losses.
    topk_divisor: int = 16
    binary_weight: float = 1.0
    alignment_weight: float = 1.0
    text_weight: float = 0.1
    # Training.
    sampling_mode: Literal["pairs", "mixed"] = "pairs"
    batch: int = 64
    drop_last: bool = True
    epochs: int = 10
    steps_per_epoch: int | None = None
    lr: float = 2e-5
    weight_decay: float = 0.01
    milestones: tuple[int, ...] = (4, 8)
    decay: float = 0.1
    look_every: int | None = 10
    look_first: int = 11


class VadCLIP(Method):
    """Two branches on one video encoder: a binary classifier, and alignment with learned class texts."""

    card = MethodCard(
        name="vadclip",
        title="VadCLIP",
        family="clip",
        paper="VadCLIP: Adapting Vision-Language Models for Weakly Supervised Video Anomaly Detection",
        venue="AAAI",
        year=2024,
        arxiv="2308.11681",
        source="nwpu-zxr/VadCLIP@f643c91",
        published_as="VadCLIP",
        parameters=12_642_306,
        needs_text=True,
        feature_dims=(512,),
        input_scale="CLIP ViT-B/16 image features, mean norm about 10",
    )
    Config = VadCLIPConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {
            "visual_layers": 1,
            "attn_window": 64,
            "text_weight": 1e-4,
            "sampling_mode": "mixed",
            "batch": 96,
            "drop_last": False,
            "lr": 1e-5,
            "milestones": (3, 6, 10),
            "look_every": None,
            "look_first": 0,
        },
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"visual_length": 16, "prompt_prefix": 4, "prompt_postfix": 4, "batch": 8, "epochs": 6},
            **{"steps_per_epoch": 10, "lr": 5e-5, "milestones": (5,), "look_every": None},
            **{"average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "local attention": {"visual_layers": 0},
        "graph": {"graph": False},
        "learned prompts": {"learned_prompts": False},
        "visual prompt": {"visual_prompt": False},
        "alignment loss": {"alignment_weight": 0.0},
        "text loss": {"text_weight": 0.0},
    }
    # CLIP's frozen towers, of which the text tower is loaded by name; a number that the distance graph never reads.
    unused_official: ClassVar[tuple[str, ...]] = (r"clipmodel\..*", r"disAdj\.sigma")
    config: VadCLIPConfig

    def __init__(self, config: VadCLIPConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, task.dim - task.audio_dim
        if task.text is None or task.text.dim != dim:
            raise Unsupported(f"{self.card.name} needs a text tower of the pictures' width, {dim}")
        self.text = task.text
        around = (c.prompt_prefix, c.prompt_postfix) if c.learned_prompts else (0, 0)
        self.prompts = ClassPrompts(self.text, task.prompts, *around)
        self.encoder = VideoEncoder(
            dim, c.visual_length, c.visual_layers, c.visual_heads, c.attn_window, c.graph_threshold, c.graph
        )
        self.align = TextAlignment(dim, c.align_temperature, c.visual_prompt)

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> TwoBranch:
        """Return texts, visual features and both branches' logits of windows `[B, T, D]`.

        `known` are lengths on the CPU, which spare a step the wait for another device.
        """
        return self.branches(self.encoder.encode(features, lengths, known))

    def branches(self, visual: Tensor) -> TwoBranch:
        """Return what both branches make of visual features `[B, T, D]`."""
        text, logits1 = self.prompts(self.text), self.encoder.classify(visual)
        return TwoBranch(text, visual, logits1, self.align(visual, logits1, text))

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        return self.losses(self(batch.features, batch.lengths, batch.known_lengths), batch)

    def losses(self, out: TwoBranch, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted: both branches' top-k losses, and normal text against abnormal ones."""
        c = self.config
        scores = topk_mean(out.logits1.sigmoid(), batch.lengths, c.topk_divisor)
        classes = topk_mean(out.logits2, batch.lengths, c.topk_divisor)
        target = batch.labels / batch.labels.sum(dim=1, keepdim=True)
        text = unit(out.text)
        return {
            "binary": c.binary_weight * F.binary_cross_entropy(scores, batch.abnormal),
            "alignment": c.alignment_weight * soft_cross_entropy(classes, target),
            "text": c.text_weight * (text[1:] @ text[0]).abs().mean(),
        }

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores sigmoid(a) and class probabilities softmax(logits2), of windows padded to the training length."""
        length = features.shape[1]
        out = self(F.pad(features, (0, 0, 0, self.config.visual_length - length)), lengths)
        return Prediction(out.logits1[:, :length].sigmoid(), out.logits2[:, :length].softmax(dim=2))

    def sampling(self) -> Sampling:
        """UCF-Crime draws pairs of normal and abnormal batches, XD-Violence mixed ones."""
        c = self.config
        lengths = (c.batch, c.visual_length, c.epochs)
        return Sampling(c.sampling_mode, *lengths, "pool-or-pad", "epoch", c.steps_per_epoch, c.drop_last)

    def reading(self) -> Reading:
        """Windows of the training length."""
        return Reading(self.config.visual_length)

    def looks(self) -> Looks:
        """After 11, 21, ... steps of an epoch on UCF-Crime, at its end on XD-Violence."""
        return Looks(self.config.look_every, self.config.look_first)

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """AdamW; the rate falls at fixed epochs."""
        c = self.config
        own = [p for p in self.parameters() if p.requires_grad]
        adamw = AdamW(own, lr=c.lr, weight_decay=c.weight_decay, fused=True)
        return [Schedule(adamw, MultiStepLR(adamw, list(c.milestones), c.decay), "epoch")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width, window length and depth; heads and attention window do not show in the shapes."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        length, dim = plain["frame_position_embeddings.weight"].shape
        return dim, {"visual_length": length, "visual_layers": depth(plain, "temporal.resblocks.")}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, VADCLIP_NAMES)
