"""PLOVAD: prompting vision-language models for open-vocabulary video anomaly detection (TCSVT 2025).

Every shape is `[B, T, D]`: B videos, T snippets, D channels, here 512; K classes, class 0 normal.

Each snippet meets two vectors of every class: one from learned prompts around its name, and one of a description, which
the video's own attended feature shifts; the second acts at test only. Descriptions are sentences about each class (see
`PLOVADConfig.descriptions`); without them the description of a class is its name alone, which is not the paper's.

What the official code does and this file repeats: attention reaches no further than the kernel of distance is above
the underflow of float32, and only where a row or its column is among the loudest snippets; a row without any looks at
all alike; outputs are L2-normalised along time, not along channels; padded rows take part in training. What it does
not: the official class of a test video is the mean of its best k snippets, and k depends on the video's true label.
Here k is that of an abnormal video for all (`video_logits`), and what is predicted is the class of every snippet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.optim import Adam

from harness.errors import Unsupported
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Prediction, Sampling, Schedule, Task, TrainingPlan

from .class_descriptions import described, read_descriptions
from .layers.clip import renamed, unit
from .layers.convolution import TimeConv
from .layers.dropout import dropout
from .layers.graphs import by_rows
from .layers.prompts import ClassPrompts
from .layers.time import bag_mean, topk_mean, unit_roots, valid_mask

# exp(-x) of float32 is 0 from here on: it rounds to no multiple of 2^-149.
_UNDERFLOW = 150 * math.log(2)
# What takes the place of a similarity that does not count: among valid ones nothing, alone as good as any other.
_UNRELATED = -9e15


class PLOVADConfig(MethodConfig):
    """Names for every constant; the defaults are those of UCF-Crime.

    `descriptions` is a YAML or JSON file with a list of sentences for each class, by its name or prompt; the sentences
    themselves take its place in the config, so that they are part of a run's identity and of its checkpoint.
    Parts of the paper switch off: `loud_share` 1 lets all snippets near each other meet, `learned_prompts` is the
    vectors around the class names, `alignment_weight` 0 no loss of classes.
    """

    # Architecture.
    heads: int = 4
    kernel_slope: float = 0.6
    kernel_bias: float = 0.2
    loud_share: float = Field(default=0.55, ge=0, le=1)
    negative_slope: float = 0.1
    dropout: float = 0.6
    classifier_width: int = Field(default=128, ge=1)
    learned_prompts: bool = True
    prompt_prefix: int = 16
    prompt_postfix: int = 16
    prompt_spread: float = 0.01
    descriptions: dict[str, tuple[str, ...]] = {}
    # Losses.
    temperature: float = 0.09
    topk_divisor: int = 16
    alignment_weight: float = 1.0
    # Training.
    length: int = 200
    batch: int = 128
    epochs: int = 50
    steps_per_epoch: int | None = None
    lr: float = 1e-3

    @field_validator("descriptions", mode="before")
    @classmethod
    def _sentences(cls, value: Any) -> Any:
        return read_descriptions(value) if isinstance(value, str) and value else value or {}


class Head(nn.Module):
    """One head of graph attention, D to W channels, and a convolution beside it."""

    def __init__(self, dim: int, width: int, config: PLOVADConfig) -> None:
        super().__init__()
        self.config = config
        gain = math.sqrt(2)
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, width), gain))
        self.pair = nn.Parameter(nn.init.xavier_uniform_(torch.empty(2 * width, 1), gain))
        self.residual = TimeConv(dim, width, kernel_size=5, padding=2)

    def forward(self, x: Tensor, valid: Tensor, related: Callable[[int, int], Tensor]) -> Tensor:
        """Map `[B, T, D]` to `[B, T, W]`; `related` gives rows `[B, R, T]` (bool) of who looks at whom."""
        values = x @ self.weight
        ours, theirs = self.pair.chunk(2)
        looking, seen = values @ ours, (values @ theirs).transpose(1, 2)

        def rows(start: int, stop: int) -> Tensor:
            similar = F.leaky_relu(looking[:, start:stop] + seen, self.config.negative_slope)
            similar = similar.masked_fill(~related(start, stop), _UNRELATED).masked_fill(~valid[:, None], -torch.inf)
            return dropout(similar.softmax(dim=2), self.config.dropout, self.training) @ values

        mixed: Tensor = F.elu(by_rows(rows, *x.shape[:2])) + self.residual(x)
        return mixed


class TemporalModule(nn.Module):
    """Graph attention over the snippets around the loudest ones, and a layer with a residual."""

    def __init__(self, dim: int, config: PLOVADConfig) -> None:
        super().__init__()
        self.config = config
        width = dim // config.heads
        self.heads = nn.ModuleList(Head(dim, width, config) for _ in range(config.heads))
        self.out = nn.Linear(config.heads * width, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`; what is not `valid` `[B, T]` (bool) changes no valid snippet."""
        x = x * valid[:, :, None]
        loud = self.loudest(x, valid)

        def related(start: int, stop: int) -> Tensor:
            places = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
            steps = places[start:stop, None] - places
            near = (self.config.kernel_slope * steps.square() - self.config.kernel_bias).abs() < _UNDERFLOW
            return near & (loud[:, start:stop, None] | loud[:, None])

        mixed = torch.cat([head(x, valid, related) for head in self.heads], dim=2)
        mapped: Tensor = self.norm(x + self.out(unit_roots(mixed, valid)))
        return mapped

    def loudest(self, x: Tensor, valid: Tensor) -> Tensor:
        """Return which snippets `[B, T]` are the share with the largest L2 norms; ties as torch.topk has them."""
        counts = (self.config.loud_share * valid.sum(dim=1).double()).long()
        order = x.norm(dim=2).masked_fill(~valid, -1).topk(int(self.config.loud_share * x.shape[1]), dim=1).indices
        return torch.zeros_like(valid).scatter(1, order, valid_mask(counts, order.shape[1]))


@dataclass(frozen=True)
class Forward:
    """Video features `[B, T, D]`, scores `[B, T]`, and the classes' vectors from learned prompts `[K, D]`."""

    visual: Tensor
    scores: Tensor
    text: Tensor


class PLOVAD(Method):
    """Temporal features scored by a small classifier and compared with class texts, learned and described."""

    card = MethodCard(
        name="plovad",
        title="PLOVAD",
        family="clip",
        paper="PLOVAD: Prompting Vision-Language Models for Open Vocabulary Video Anomaly Detection",
        venue="TCSVT",
        year=2025,
        source="ctX-u/PLOVAD@e83904a",
        parameters=1_943_298,
        needs_text=True,
        feature_dims=(512,),
        input_scale="CLIP ViT-B/16 image features, not normalised",
    )
    Config = PLOVADConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "shanghaitech": {"loud_share": 0.9, "length": 120, "lr": 5e-5, "prompt_spread": 0.02, "epochs": 60},
        "ubnormal": {"loud_share": 0.9, "length": 450, "epochs": 200},
        # The official configuration has no block for it; these are the settings of UCF-Crime.
        "xd-violence": {},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"length": 64, "batch": 32, "epochs": 8, "steps_per_epoch": 10, "prompt_prefix": 4, "prompt_postfix": 4},
            **{"average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "loudest snippets": {"loud_share": 1.0},
        "learned prompts": {"learned_prompts": False},
        "alignment loss": {"alignment_weight": 0.0},
    }
    # CLIP's frozen towers, of which the text tower is loaded by name; layers and numbers that are never used or moved.
    unused_official: ClassVar[tuple[str, ...]] = (r"clipmodel\..*", r"mlp1\..*", r"norm\..*", r"TM\.loc_adj\..*")
    config: PLOVADConfig
    described: Tensor

    def __init__(self, config: PLOVADConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, task.dim
        if task.text is None or task.text.dim != dim:
            raise Unsupported(f"plovad needs a text tower of the features' width, {dim}")
        self.text = task.text
        words = [prompt.lower() for prompt in task.prompts]
        around = (c.prompt_prefix, c.prompt_postfix) if c.learned_prompts else (0, 0)
        self.prompts = ClassPrompts(self.text, words, *around)
        if self.prompts.context is not None:
            nn.init.normal_(self.prompts.context, std=c.prompt_spread)
        with torch.no_grad():
            self.register_buffer("described", described(self.text, task, c.descriptions), persistent=False)
        self.temporal = TemporalModule(dim, c)
        self.classifier = nn.Sequential(
            TimeConv(dim, c.classifier_width, 1), nn.GELU(), TimeConv(c.classifier_width, 1, 1)
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / c.temperature)))

    def forward(self, features: Tensor, valid: Tensor) -> Forward:
        """Read videos `[B, T, D]`; what is not `valid` `[B, T]` (bool) changes no valid snippet."""
        visual = self.temporal(features, valid)
        return Forward(visual, self.classifier(visual).squeeze(2).sigmoid(), self.prompts(self.text))

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total, of the batch cut to its longest video; padding is not masked, as published."""
        features = batch.features[:, : batch.longest]
        return self.losses(self(features, torch.ones_like(features[:, :, 0], dtype=torch.bool)), batch)

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted: of the scores, and of the classes by the learned prompts alone."""
        c = self.config
        scores = bag_mean(out.scores, batch.lengths, batch.abnormal, c.topk_divisor)
        classes = bag_mean(self.aligned(out, out.text), batch.lengths, batch.abnormal, c.topk_divisor)
        # A video with several classes counts for its first abnormal one.
        target = (batch.labels[:, 1:].argmax(dim=1) + 1) * (batch.abnormal > 0)
        return {
            "bags": F.binary_cross_entropy(scores, batch.abnormal),
            "alignment": c.alignment_weight * F.cross_entropy(classes, target),
        }

    def aligned(self, out: Forward, texts: Tensor) -> Tensor:
        """Return the snippets' logits `[B, T, K]` of texts `[K, D]` or `[B, K, D]`: scaled cosines."""
        return self.logit_scale.exp() * unit(out.visual) @ unit(texts).transpose(-1, -2)

    def shifted(self, out: Forward, valid: Tensor) -> Tensor:
        """Return the described classes `[B, K, D]` as each video, by its attended feature, shifts them."""
        attended = unit(((out.scores * valid)[:, None] @ out.visual).squeeze(1))
        return self.described + attended[:, None]

    def video_logits(self, out: Forward, lengths: Tensor) -> Tensor:
        """Return the classes' logits `[B, K]` of whole videos: of both texts the larger mean of the best snippets."""
        texts = out.text, self.shifted(out, valid_mask(lengths, out.scores.shape[1]))
        pooled = [topk_mean(self.aligned(out, text), lengths, self.config.topk_divisor) for text in texts]
        return torch.maximum(*pooled)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets, and their classes: a softmax over the larger of both texts' logits.

        It is what `video_logits` says of a video of this snippet alone, but for the shift, which is the whole video's.
        """
        valid = valid_mask(lengths, features.shape[1])
        out = self(features, valid)
        logits = torch.maximum(self.aligned(out, out.text), self.aligned(out, self.shifted(out, valid)))
        return Prediction(out.scores, logits.softmax(dim=2))

    def sampling(self) -> Sampling:
        """Mixed batches; long videos give 200 evenly spaced rows, short ones are padded."""
        c = self.config
        return Sampling(
            "mixed", c.batch, c.length, c.epochs, "pick-or-pad", steps_per_epoch=c.steps_per_epoch, drop_last=False
        )

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        return [Schedule(Adam([p for p in self.parameters() if p.requires_grad], lr=self.config.lr, fused=True))]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width, heads and the classifier's width; prompts do not show in the shapes."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        dim, width = plain["TM.self_attn.attention_0.weight"].shape
        return dim, {"heads": dim // width, "classifier_width": plain["classifier.0.weight"].shape[0]}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, _names(self.config.heads))


def _names(heads: int) -> dict[str, str]:
    """Official prefixes of keys and ours."""
    names: dict[str, str] = {}
    for i in range(heads):
        theirs, ours = f"TM.self_attn.attention_{i}.", f"temporal.heads.{i}."
        names |= {f"{theirs}a": f"{ours}pair", theirs: ours}
    return names | {
        "TM.linear2.": "temporal.out.",
        "TM.norm.": "temporal.norm.",
        "classifier.": "classifier.",
        "embedding.weight": "prompts.context",
        "logit_scale": "logit_scale",
    }
