"""PEL4VAD: learning prompt-enhanced context features (Pu et al., TIP 2024, arXiv 2306.14451).

Every shape is `[B, T, D]`: B videos, T snippets, D channels; K classes, class 0 normal.

What the official code does and this file repeats: attention outputs are L2-normalised along time, not along channels,
and in training padded rows take part in attention and in the pooling of the prompt loss. Its prompts are means over
ConceptNet phrases, read from a file; here they are the text tower's features of the class prompts, not normalised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from harness.errors import Unsupported
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Prediction, Sampling, Schedule, Task, TrainingPlan

from .layers.clip import renamed
from .layers.convolution import TimeConv
from .layers.dropout import dropout
from .layers.graphs import by_rows
from .layers.time import bag_mean, unit_roots, valid_mask


class PEL4VADConfig(MethodConfig):
    """Names for every constant; the defaults are those of UCF-Crime.

    Parts of the paper switch off: `context` takes global or local attention alone, `position_kernel` is the dynamic
    one, `prompt_weight` 0 is no prompt loss. `smoothing` averages test scores over `smoothing_window` snippets, ahead
    ("slide") or block by block ("fixed"). The published numbers are smoothed and so is every preset here; the official
    code selects on scores that are not.
    """

    # Architecture.
    attention_width: int = 128
    visual_width: int = 512
    embed_width: int = 300
    window: int = 9
    context: Literal["both", "global", "local"] = "both"
    position_kernel: bool = True
    kernel_slope: float = 0.6
    kernel_bias: float = 0.2
    time_norm: bool = True
    classifier_kernel: int = 9
    dropout: float = 0.1
    smoothing: Literal["none", "slide", "fixed"] = "slide"
    smoothing_window: int = 7
    # Losses.
    topk_divisor: int = 16
    temperature: float = 0.09
    sharpness: float = 10.0
    prompt_weight: float = 1.0
    # Training.
    length: int = 200
    batch: int = 128
    epochs: int = 50
    steps_per_epoch: int | None = None
    lr: float = 5e-4
    cosine_epochs: int = 60


class ContextAttention(nn.Module):
    """Temporal context aggregation: global and local attention share one similarity matrix."""

    def __init__(self, dim: int, config: PEL4VADConfig) -> None:
        super().__init__()
        self.config = config
        width = config.attention_width
        self.q = nn.Linear(dim, width)
        self.k = nn.Linear(dim, width)
        self.v = nn.Linear(dim, width)
        self.o = nn.Linear(width, dim)
        self.alpha = nn.Parameter(torch.zeros(())) if config.context == "both" else None
        self.slope = nn.Parameter(torch.tensor([config.kernel_slope])) if config.position_kernel else None
        self.bias = nn.Parameter(torch.tensor([config.kernel_bias])) if config.position_kernel else None

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`; snippets that are not `valid` `[B, T]` (bool) are not looked at."""
        query, key, value = self.q(x), self.k(x), self.v(x)
        # A root near 0 is steep, so how sums are rounded would decide what a few steps of training make of it.
        exact = torch.float64 if self.config.time_norm else value.dtype
        value = value.to(exact)

        def rows(start: int, stop: int) -> Tensor:
            places = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
            steps = places[start:stop, None] - places
            similar = query[:, start:stop] @ key.transpose(1, 2) / math.sqrt(key.shape[2])
            if self.slope is not None and self.bias is not None:
                similar = similar + torch.exp(-(self.slope * steps.square() - self.bias).abs())
            shares = self._mix(similar.masked_fill(~valid[:, None], -torch.inf), steps, valid)
            attended: Tensor = shares.to(exact) @ value
            return attended

        mixed = by_rows(rows, *x.shape[:2])
        if self.config.time_norm:
            mixed = unit_roots(mixed, valid)
        mapped: Tensor = self.o(mixed.to(x.dtype))
        return mapped

    def _mix(self, similar: Tensor, steps: Tensor, valid: Tensor) -> Tensor:
        """Attention `[B, R, T]` of rows: softmax over the video, over the window, or a learned mean of both."""
        context = self.config.context
        wide: Tensor = similar.softmax(dim=2) if context != "local" else similar
        if context == "global":
            return wide
        # Row i looks at the window's columns around it, cut at the borders.
        half, window = self.config.window // 2, self.config.window
        near = ((-steps >= -half) & (-steps < window - half)) & valid[:, None]
        local = similar.masked_fill(~near, -1e9).softmax(dim=2)
        if self.alpha is None:
            return local
        share = self.alpha.sigmoid()
        both: Tensor = share * wide + (1 - share) * local
        return both


@dataclass(frozen=True)
class Forward:
    """Scores `[B, T]` and the visual features `[B, T, V]` that meet the prompts."""

    scores: Tensor
    visual: Tensor


class PEL4VAD(Method):
    """Context features scored by a causal classifier; pooled fore- and background are pulled to class prompts."""

    card = MethodCard(
        name="pel4vad",
        title="PEL4VAD",
        family="mil",
        paper="Learning Prompt-Enhanced Context Features for Weakly-Supervised Video Anomaly Detection",
        venue="TIP",
        year=2024,
        arxiv="2306.14451",
        source="yujiangpu20/PEL4VAD@eeb31f4",
        published_as="PEL4VAD",
        parameters=1_209_149,
        needs_text=True,
    )
    Config = PEL4VADConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {
            **{"kernel_slope": 0.06, "kernel_bias": 0.02, "time_norm": False, "classifier_kernel": 3},
            **{"temperature": 0.05, "smoothing": "fixed", "smoothing_window": 8},
        },
        "shanghaitech": {
            **{"window": 5, "kernel_slope": 0.08, "kernel_bias": 0.1, "classifier_kernel": 3, "temperature": 0.2},
            **{"prompt_weight": 9.0, "smoothing_window": 3},
        },
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"length": 64, "batch": 32, "epochs": 20, "steps_per_epoch": 15, "lr": 2.5e-4, "cosine_epochs": 20},
            **{"average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "local context": {"context": "global"},
        "global context": {"context": "local"},
        "position kernel": {"position_kernel": False},
        "prompt loss": {"prompt_weight": 0.0},
        "smoothing": {"smoothing": "none"},
    }
    config: PEL4VADConfig
    prompts: Tensor

    def __init__(self, config: PEL4VADConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, task.dim
        if task.text is None or task.text.dim != c.visual_width:
            raise Unsupported(f"pel4vad needs a text tower of width {c.visual_width}, its visual_width")
        with torch.no_grad():
            self.register_buffer("prompts", task.text.encode(task.prompts), persistent=False)
        self.attention = ContextAttention(dim, c)
        self.norm = nn.LayerNorm(dim)
        self.visual = TimeConv(dim, c.visual_width, 1)
        self.embed = TimeConv(c.visual_width, c.embed_width, 1)
        self.classifier = TimeConv(c.embed_width, 1, c.classifier_kernel)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / c.temperature)))
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, features: Tensor, valid: Tensor) -> Forward:
        """Score videos `[B, T, D]`; what is not `valid` `[B, T]` (bool) changes no valid snippet."""
        c = self.config
        x = self.norm(features + self.attention(features, valid))
        visual = dropout(F.gelu(self.visual(x)), c.dropout, self.training)
        embedded = dropout(F.gelu(self.embed(visual)), c.dropout, self.training)
        logits = self.classifier(F.pad(embedded, (0, 0, c.classifier_kernel - 1, 0))).squeeze(2)
        return Forward(logits.sigmoid(), visual)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total, of the batch cut to its longest video; padding is not masked, as published."""
        features = batch.features[:, : batch.longest]
        out = self(features, torch.ones_like(features[:, :, 0], dtype=torch.bool))
        return self.losses(out, batch, *self.texts(batch))

    def texts(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return each video's class `[B]` and its prompts of background and foreground, `[B, V]`."""
        # A video with several classes counts for its first abnormal one.
        classes = (batch.labels[:, 1:].argmax(dim=1) + 1) * (batch.abnormal > 0)
        return classes, self.prompts[:1].expand(len(classes), -1), self.prompts[classes]

    def losses(
        self, out: Forward, batch: Batch, classes: Tensor, background: Tensor, foreground: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted; `background` and `foreground` `[B, V]` are each video's prompts."""
        c = self.config
        bags = bag_mean(out.scores, batch.lengths, batch.abnormal, c.topk_divisor)
        logits, ids = self.prompt_logits(out, classes, background, foreground)
        return {
            "bags": F.binary_cross_entropy(bags, batch.abnormal),
            "prompts": c.prompt_weight * self.prompt_loss(logits, ids),
        }

    def prompt_logits(
        self, out: Forward, classes: Tensor, background: Tensor, foreground: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits `[R, R]` of pooled videos against prompts, and the rows' classes `[R]`.

        A video gives its foreground; an abnormal one then also its background, of class 0.
        """
        pooled = torch.stack([self._pool(out, out.scores), self._pool(out, 1 - out.scores)], dim=1).flatten(0, 1)
        texts = torch.stack([foreground, background], dim=1).flatten(0, 1)
        ids = torch.stack([classes, torch.zeros_like(classes)], dim=1)
        kept = torch.stack([torch.ones_like(classes), classes], dim=1).flatten() > 0
        visual, texts = F.normalize(pooled[kept], dim=1), F.normalize(texts[kept], dim=1)
        return self.logit_scale.exp() * visual @ texts.T, ids.flatten()[kept]

    def _pool(self, out: Forward, scores: Tensor) -> Tensor:
        weights = F.normalize(torch.exp(self.config.sharpness * scores) - 1, p=1, dim=1)
        return (weights[:, None] @ out.visual).squeeze(1)

    def prompt_loss(self, logits: Tensor, ids: Tensor) -> Tensor:
        """KL divergence of softmax(logits) from a softmax that prefers rows of the same class."""
        target = (self.config.sharpness * (ids[:, None] == ids).to(logits.dtype)).softmax(dim=1)
        return F.kl_div(logits.log_softmax(dim=1), target, reduction="batchmean")

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets, smoothed."""
        valid = valid_mask(lengths, features.shape[1])
        return Prediction(self.smoothed(self(features, valid).scores * valid))

    def smoothed(self, scores: Tensor) -> Tensor:
        """Smooth scores `[B, T]`, zero beyond each video; snippets beyond its end count as zero, as published."""
        window = self.config.smoothing_window
        if self.config.smoothing == "none":
            return scores
        length = scores.shape[1]
        if self.config.smoothing == "slide":
            return F.avg_pool1d(F.pad(scores, (0, window - 1)), window, stride=1)
        means = F.avg_pool1d(F.pad(scores, (0, -length % window)), window)
        return means.repeat_interleave(window, dim=1)[:, :length]

    def sampling(self) -> Sampling:
        """Mixed batches; long videos give 200 evenly spaced rows, short ones are padded."""
        c = self.config
        return Sampling(
            "mixed", c.batch, c.length, c.epochs, "pick-or-pad", steps_per_epoch=c.steps_per_epoch, drop_last=False
        )

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam; a cosine per epoch that is cut off before it reaches 0."""
        c = self.config
        adam = Adam([p for p in self.parameters() if p.requires_grad], lr=c.lr, fused=True)
        return [Schedule(adam, CosineAnnealingLR(adam, c.cosine_epochs), "epoch")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths and the classifier's kernel; the attention window does not show in the shapes."""
        shapes = {key.removeprefix("module."): value.shape for key, value in state.items()}
        width, dim = shapes["self_attention.self_attn.q.weight"]
        return dim, {
            "attention_width": width,
            "visual_width": shapes["self_attention.linear1.weight"][0],
            "embed_width": shapes["self_attention.linear2.weight"][0],
            "classifier_kernel": shapes["classifier.weight"][2],
        }

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, _OFFICIAL)


_OFFICIAL = {
    "self_attention.self_attn.": "attention.",
    "self_attention.loc_adj.w": "attention.slope",
    "self_attention.loc_adj.b": "attention.bias",
    "self_attention.linear1.": "visual.",
    "self_attention.linear2.": "embed.",
    "self_attention.norm.": "norm.",
    "classifier.": "classifier.",
    "logit_scale": "logit_scale",
}
