"""AnomalyCLIP: delving into CLIP latent space for video anomaly recognition (CVIU 2024, arXiv 2310.02835).

Every shape is `[B, T, D]`: B videos, T snippets (the paper's frames), D channels; K classes, class 0 normal; a grid has
S segments of F frames.

What the official code does and this file repeats: abnormal and normal top-k share the mask that was drawn for the
bottom-k, and the smoothness also counts the step from one video to the next.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from harness.errors import Unsupported
from harness.plugin import (
    Batch,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
    TrainingVideo,
)
from harness.text.tower import TextTower

from .layers.axial import AxialTransformer, axial_names
from .layers.clip import depth, renamed, unit
from .layers.prompts import Remembered

# Grids that pass the temporal model at once.
_GRIDS = 16


class AnomalyCLIPConfig(MethodConfig):
    """Names for every constant; the defaults are those of UCF-Crime.

    `segments` x `frames` is the grid that the temporal model sees. Parts of the paper switch off: `recentre` the
    subtraction of the normal centroid, `learned_context` 0 the vectors before the class names, `depth` 0 the axial
    transformer, each weight its loss.
    """

    # Architecture.
    segments: int = 32
    frames: int = 16
    learned_context: int = 8
    recentre: bool = True
    embed_dim: int = 256
    depth: int = 1
    heads: int = 8
    join_logits: bool = False
    # Selection and losses.
    selected: int = 3
    select_dropout: float = 0.7
    direction_abnormal: float = 1.0
    direction_normal: float = 1.0
    top_abnormal: float = 1.0
    bottom_abnormal: float = 1.0
    top_normal: float = 1.0
    smooth: float = 8e-4
    sparsity: float = 8e-3
    # Training.
    batch: int = 32
    epochs: int = 50
    steps_per_epoch: int | None = None
    lr: float = 1e-5
    weight_decay: float = 0.2
    warmup: int = 5


class ClassDirections(nn.Module):
    """Class texts with learned vectors before the name, and CLIP's text projection, which is trained too."""

    eot: Tensor
    ids: Tensor

    def __init__(self, tower: TextTower, prompts: Sequence[str], context: int) -> None:
        super().__init__()
        ids = tower.tokenize([f"{prompt}." for prompt in prompts])[:, : tower.context - context]
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("eot", tower.eot(ids) + context, persistent=False)
        self.context = nn.Parameter(torch.randn(len(prompts), context, tower.width) * 0.02) if context else None
        self.projection = nn.Parameter(tower.model.text_projection.weight.detach().t().clone())
        self._cache = Remembered()

    def forward(self, tower: TextTower) -> Tensor:
        """Return text features `[K, D]`, not normalised."""
        return self._cache(lambda: self._encode(tower), [*self.parameters(), self.ids])

    def _encode(self, tower: TextTower) -> Tensor:
        tokens = tower.embed(self.ids)
        if self.context is not None:
            tokens = torch.cat([tokens[:, :1], self.context, tokens[:, 1:]], dim=1)
        features: Tensor = tower(tokens, self.eot) @ self.projection
        return features


@dataclass(frozen=True)
class Forward:
    """Similarities to the abnormal directions and binary logits of `[B, T]` snippets."""

    logits: Tensor  # [B, T, K - 1]
    binary: Tensor  # [B, T]

    @property
    def log_probs(self) -> Tensor:
        """Log of the joint class probabilities, `[B, T, K]`."""
        abnormal = F.logsigmoid(self.binary)[..., None] + self.logits.log_softmax(dim=-1)
        return torch.cat([F.logsigmoid(-self.binary)[..., None], abnormal], dim=-1)


class AnomalyCLIP(Method):
    """Directions from normal to each class in CLIP space select segments; a temporal model scores them."""

    card = MethodCard(
        name="anomalyclip",
        title="AnomalyCLIP",
        family="clip",
        paper="Delving into CLIP latent space for Video Anomaly Recognition",
        venue="CVIU",
        year=2024,
        arxiv="2310.02835",
        source="lucazanella/AnomalyCLIP@6e58b6e",
        published_as="AnomalyCLIP",
        parameters=10_430_466,
        needs_text=True,
        feature_dims=(512,),
        input_scale="CLIP ViT-B/16 image features of single frames, not normalised",
    )
    Config = AnomalyCLIPConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {"embed_dim": 128, "lr": 5e-6},
        "shanghaitech": {"join_logits": True, "depth": 2, "lr": 5e-4, "epochs": 100, "warmup": 10},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"segments": 16, "frames": 2, "embed_dim": 64, "batch": 8, "epochs": 10, "steps_per_epoch": 15},
            **{"lr": 1e-3, "warmup": 0, "average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "normal centroid": {"recentre": False},
        "learned context": {"learned_context": 0},
        "temporal model": {"depth": 0},
        "direction losses": {"direction_abnormal": 0.0, "direction_normal": 0.0},
    }
    # The image tower, the frozen text tower (loaded by name), what follows from the prompts, an unread scale.
    unused_official: ClassVar[tuple[str, ...]] = (
        r"image_encoder\..*",
        r"text_encoder\.(positional_embedding|transformer\..*|ln_final\..*)",
        r"token_embedding\.weight",
        r"prompt_learner\.token_(prefix|suffix)",
        r"selector_model\.(logit_scale|bn_layer\.num_batches_tracked)",
    )
    config: AnomalyCLIPConfig
    centroid: Tensor

    def __init__(self, config: AnomalyCLIPConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim, columns = config, task.dim, len(task.classes) - 1
        if task.text is None or task.text.dim != dim:
            raise Unsupported(f"anomalyclip needs a text tower of the features' width, {dim}")
        self.text = task.text
        self.directions = ClassDirections(self.text, task.prompts, c.learned_context)
        self.register_buffer("centroid", torch.zeros(dim))
        # In float64: summed one after another, the rows of a batch cost float32 half its digits.
        self.norm = nn.BatchNorm1d(columns, affine=False, dtype=torch.float64)
        self.project = nn.Linear(dim + columns * c.join_logits, c.embed_dim)
        self.axial = AxialTransformer(c.embed_dim, c.segments, c.frames, c.depth, c.heads) if c.depth else None
        self.last_norm = nn.LayerNorm(c.embed_dim)
        self.classifier = nn.Linear(c.embed_dim, 1)

    @torch.no_grad()
    def prepare(self, videos: Iterable[TrainingVideo]) -> None:
        """Set the centroid: the mean of all snippets of normal training videos."""
        total, count = torch.zeros(len(self.centroid), dtype=torch.float64), 0
        for video in videos:
            if video.labels[0] > 0:
                total += video.features.double().sum(dim=0)
                count += len(video.features)
        self.centroid.copy_(total / max(count, 1))

    def forward(self, grids: Tensor) -> Forward:
        """Score grids `[B, S * F, D]`, segments one after another (Sec. 3.2 and 3.3)."""
        origin = self.centroid if self.config.recentre else torch.zeros_like(self.centroid)
        x = grids - origin
        directions = unit(self.directions(self.text)[1:] - origin)
        logits = self.norm((x @ directions.T).flatten(0, 1).double()).to(x.dtype).unflatten(0, grids.shape[:2])
        hidden = self.project(torch.cat([logits, x], dim=2) if self.config.join_logits else x)
        if self.axial is not None:
            square = hidden.transpose(1, 2).unflatten(2, (self.config.segments, self.config.frames))
            hidden = torch.cat([self.axial(part) for part in square.split(_GRIDS)]).flatten(2).transpose(1, 2)
        return Forward(logits, self.classifier(self.last_norm(hidden)).squeeze(2))

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        shape = (len(batch.features), self.config.segments)
        kept = torch.bernoulli(torch.full(shape, 1 - self.config.select_dropout, device=batch.features.device))
        return self.losses(self(batch.features), batch, kept)

    def select(self, out: Forward, batch: Batch, kept: Tensor) -> dict[str, Tensor]:
        """Return chosen segments `[videos, 3]`: `top_abnormal`, `bottom_abnormal`, `top_normal`.

        By the similarity to a video's own class, in normal videos by the sum over classes; segments with 0 in `kept`
        `[B, S]` come last.
        """
        count, columns = min(self.config.selected, self.config.segments), self._columns(batch)
        sums = out.logits.unflatten(1, (self.config.segments, -1)).sum(dim=2)
        own = sums[batch.normal :].take_along_dim(columns[:, None, None], dim=2).squeeze(2)
        normal, abnormal = kept[: batch.normal] > 0, kept[batch.normal :] > 0
        return {
            "top_abnormal": own.masked_fill(~abnormal, -1e6).topk(count, dim=1).indices,
            "bottom_abnormal": own.masked_fill(~abnormal, 1e6).topk(count, dim=1, largest=False).indices,
            "top_normal": sums[: batch.normal].sum(dim=2).masked_fill(~normal, -1e6).topk(count, dim=1).indices,
        }

    def losses(self, out: Forward, batch: Batch, kept: Tensor) -> dict[str, Tensor]:
        """Return the loss terms, weighted (Eq. 4 to 10)."""
        c, normal, columns = self.config, batch.normal, self._columns(batch)
        chosen = self.select(out, batch, kept)
        log_probs = out.log_probs
        logits = self._frames(out.logits[normal:], chosen["top_abnormal"])
        top = self._frames(log_probs[normal:], chosen["top_abnormal"])
        bottom = self._frames(log_probs[normal:], chosen["bottom_abnormal"])
        calm = self._frames(log_probs[:normal], chosen["top_normal"])
        scores = out.binary[normal:].sigmoid()
        return {
            "direction_abnormal": -c.direction_abnormal * _of_class(logits, columns).mean(),
            "direction_normal": c.direction_normal * out.logits[:normal].amax(dim=2).mean(),
            "top_abnormal": -c.top_abnormal * _of_class(top, columns + 1).mean(),
            "bottom_abnormal": -c.bottom_abnormal * bottom[..., 0].mean(),
            "top_normal": -c.top_normal * calm[..., 0].mean(),
            "smooth": c.smooth * scores.flatten().diff().square().sum(),
            "sparsity": c.sparsity * scores.mean(),
        }

    def _columns(self, batch: Batch) -> Tensor:
        """Column of each abnormal video's own class, the first where it has several."""
        return batch.labels[batch.normal :, 1:].argmax(dim=1)

    def _frames(self, values: Tensor, segments: Tensor) -> Tensor:
        """Values `[B, 3, F, C]` of the frames in chosen segments `[B, 3]`, of values `[B, S * F, C]`."""
        grid: Tensor = values.unflatten(1, (self.config.segments, -1))
        return grid.take_along_dim(segments[:, :, None, None], dim=1)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores and class probabilities of videos, regrouped into grids as published.

        A video repeats itself up to whole grids. Its frames are cut into S blocks, one for each segment; grid g takes
        the g-th F frames of every block.
        """
        s, f = self.config.segments, self.config.frames
        counts = -(-lengths // (s * f))
        grid, block, frame = torch.meshgrid(
            *(torch.arange(n, device=features.device) for n in (int(counts.max()), s, f)), indexing="ij"
        )
        places = block * (counts * f)[:, None, None, None] + grid * f + frame
        rows = (places % lengths[:, None, None, None]).flatten(1)
        pieces = features.take_along_dim(rows[:, :, None], dim=1)
        out = self(pieces.unflatten(1, (-1, s * f)).flatten(0, 1))
        # Where each snippet of a video lies among its grids; rows beyond the video's end read anything.
        t = torch.arange(features.shape[1], device=features.device)
        per_block = (counts * f)[:, None]
        found = (t % per_block) // f * (s * f) + t // per_block % s * f + t % f
        probs = out.log_probs.unflatten(0, (len(features), -1)).flatten(1, 2).exp()
        chosen = probs.take_along_dim(found[:, :, None], dim=1)
        return Prediction(chosen[..., 1:].sum(dim=2).clamp(max=1), chosen)

    def sampling(self) -> Sampling:
        """Pairs of batches; a video gives S stretches of F consecutive snippets; the longer list sets the epoch."""
        c = self.config
        size = (c.batch, c.segments * c.frames, c.epochs)
        return Sampling("pairs", *size, "stretches", "epoch", c.steps_per_epoch, epoch="longer", stretch=c.frames)

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """AdamW; the rate rises from 0 (the first epoch learns nothing), then follows a cosine to 0."""
        c = self.config

        def rate(epoch: int) -> float:
            if epoch < c.warmup:
                return epoch / c.warmup
            return 0.5 * (1 + math.cos(math.pi * (epoch - c.warmup) / max(1, plan.epochs - c.warmup)))

        own = [p for p in self.parameters() if p.requires_grad]
        adamw = AdamW(own, lr=c.lr, weight_decay=c.weight_decay, fused=True)
        return [Schedule(adamw, LambdaLR(adamw, rate), "epoch")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths, grid and depth; the number of heads does not show in the shapes."""
        embed, joined = state["temporal_model.projection.weight"].shape
        dim = state["text_encoder.text_projection"].shape[1]
        return dim, {
            "learned_context": state["prompt_learner.ctx"].shape[1],
            "embed_dim": embed,
            "join_logits": joined > dim,
            "segments": state["temporal_model.axial_attn.pos_emb.param_0"].shape[2],
            "frames": state["temporal_model.axial_attn.pos_emb.param_1"].shape[3],
            "depth": depth(state, "temporal_model.axial_attn.layers.blocks.") // 2,
        }

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys, and put its classes, which are in the order of their names, in ours."""
        prompts = [prompt.lower() for prompt in self.task.prompts]
        order = torch.tensor([sorted(prompts).index(prompt) for prompt in prompts])
        columns = torch.tensor([sorted(prompts[1:]).index(prompt) for prompt in prompts[1:]])
        found = renamed(state, _OFFICIAL | axial_names(self.config.depth))
        for name, places in {
            "directions.context": order,
            "norm.running_mean": columns,
            "norm.running_var": columns,
        }.items():
            if name in found and found[name].ndim:
                found[name] = found[name][places]
        return found


def _of_class(values: Tensor, columns: Tensor) -> Tensor:
    """Values `[B, 3, F]` of each video's own column `[B]` in values `[B, 3, F, C]`."""
    return values.take_along_dim(columns[:, None, None, None], dim=3).squeeze(3)


_OFFICIAL = {
    "prompt_learner.ctx": "directions.context",
    "text_encoder.text_projection": "directions.projection",
    "selector_model.bn_layer.": "norm.",
    "temporal_model.projection.": "project.",
    "temporal_model.axial_attn.pos_emb.param_0": "axial.by_segment",
    "temporal_model.axial_attn.pos_emb.param_1": "axial.by_frame",
    "temporal_model.classifier.layer_norm.": "last_norm.",
    "temporal_model.classifier.linear.": "classifier.",
}
