"""GlanceVAD: exploring glance supervision for label-efficient video anomaly detection (arXiv 2403.06154).

UR-DMU's network, trained towards scores that are high around the frames where an annotator clicked on an event, a frame
or more of each abnormal training video. That is more supervision than a label of each video: the track "glance". Test
videos have no clicks.

Shapes as in UR-DMU: B videos, N of them normal and first, S snippets (segments) of a training video.

What the official code does and this file repeats: all that UR-DMU's does; the mean of an abnormal video's best
snippets enters no loss; events never grow into a video's last segment; a video without clicks is trained to be normal
throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.lr_scheduler import ConstantLR, LRScheduler

from harness.plugin import Batch, MethodCard, Schedule, Task, TrainingPlan

from .urdmu import URDMU, Forward, URDMUConfig, cross_entropy


class GlanceVADConfig(URDMUConfig):
    """Names for every constant beyond UR-DMU's; the defaults are those of UCF-Crime.

    An event grows from its click over neighbours that score at least `mining_share` of the click's own score, from step
    `mining_from` on (steps count from 1); `spread` is the deviation of the Gaussian around each of its segments, in
    halves of the video. Parts of the paper switch off: `mining` the growth, `splatting` the Gaussians, so that the
    segments themselves are the target, and each weight its loss.
    """

    # Losses.
    glance_weight: float = 1.0
    abnormal_weight: float = 0.0
    mining: bool = True
    mining_share: float = Field(default=0.9, ge=0, le=1)
    mining_from: int = Field(default=50, ge=1)
    splatting: bool = True
    spread: float = Field(default=0.1, gt=0)
    # Training: 1500 steps.
    epochs: int = 15
    look_every: int = 5
    look_first: int = 5


class GlanceVAD(URDMU):
    """UR-DMU whose scores follow Gaussians around clicked frames, and around what looks like them nearby."""

    card = MethodCard(
        name="glancevad",
        title="GlanceVAD",
        family="mil",
        paper="GlanceVAD: Exploring Glance Supervision for Label-efficient Video Anomaly Detection",
        venue="ICME",
        year=2025,
        arxiv="2403.06154",
        source="pipixin321/GlanceVAD@18ff774",
        parameters=6_492_929,
        track="glance",
    )
    Config = GlanceVADConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {"mining_from": 100, "look_every": 10, "look_first": 10},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {**URDMU.presets["fast"], "mining_from": 40},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "clicks": {"glance_weight": 0.0, "abnormal_weight": 1.0},
        "mining": {"mining": False},
        "splatting": {"splatting": False},
        "memory losses": URDMU.ablations["memory losses"],
        "triplet loss": URDMU.ablations["triplet loss"],
    }
    official_blocks: ClassVar[str] = "self_attn"
    config: GlanceVADConfig

    def __init__(self, config: GlanceVADConfig, task: Task) -> None:
        super().__init__(config, task)
        self._clock: LRScheduler | None = None

    def terms(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms without their weights: UR-DMU's, its classification by kind, and the clicks'."""
        assert batch.clicks is not None  # `check` has seen to it
        n, own = batch.normal, super().terms(out, batch)
        del own["classification"]
        return {
            "normal": cross_entropy(self.best(out.scores[:n]), 0.0),
            "abnormal": cross_entropy(self.best(out.scores[n:]), 1.0),
            "glance": cross_entropy(out.scores[n:], self.target(batch.clicks[n:], out.scores[n:].detach())),
            **own,
        }

    def weights(self) -> dict[str, float]:
        """Weight of each loss term."""
        own = super().weights()
        c, normal = self.config, own.pop("classification")
        return {"normal": normal, "abnormal": c.abnormal_weight, "glance": c.glance_weight, **own}

    def target(self, clicks: Tensor, scores: Tensor) -> Tensor:
        """Return what abnormal videos' scores `[B, S]` are trained towards, from their clicks `[B, S]`, 1 or 0."""
        c = self.config
        mining = c.mining and self.step >= c.mining_from
        events = mined(clicks, scores, c.mining_share) if mining else clicks
        return splatted(events, c.spread) if c.splatting else events

    @property
    def step(self) -> int:
        """The step that the training is at, from 1."""
        return 1 + (self._clock.last_epoch if self._clock else 0)

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate; its schedule counts the steps, and goes on counting where a training is resumed."""
        (schedule,) = super().schedules(plan)
        self._clock = ConstantLR(schedule.optimizer, factor=1.0, total_iters=0)
        return [Schedule(schedule.optimizer, self._clock, "step")]


def mined(clicks: Tensor, scores: Tensor, share: float) -> Tensor:
    """Return 1 at the clicks `[B, S]` and at what they reach, else 0.

    From each click both ways, over segments that score at least `share` of the click's own of `scores` `[B, S]`, up to
    the next click. The last segment is reached by none.
    """
    before = _reached(clicks.flip(1), scores.flip(1), share).flip(1)
    behind = _reached(clicks, scores, share)
    behind[:, -1] = False
    return ((clicks > 0) | before | behind).to(clicks.dtype)


def _reached(clicks: Tensor, scores: Tensor, share: float) -> Tensor:
    """Which segments `[B, S]` the last click before them reaches, from left to right."""
    places = torch.arange(clicks.shape[1], device=clicks.device)
    last = torch.where(clicks > 0, places, -1).cummax(dim=1).values
    click = last.clamp(min=0)
    # Failures up to each segment: as many as up to its click, if there was none on the way.
    failures = (scores < share * scores.gather(1, click)).cumsum(dim=1)
    return (last >= 0) & (failures == failures.gather(1, click))


def splatted(events: Tensor, spread: float) -> Tensor:
    """Return the highest Gaussian at each segment `[B, S]`, one around every segment of `events` `[B, S]`; in [0, 1].

    Each Gaussian and each video is stretched to reach from 0 to 1; a video without events is 0 throughout.
    """
    length = events.shape[1]
    places = torch.arange(length, device=events.device, dtype=events.dtype)
    apart = 2 * (places[:, None] - places) / max(length - 1, 1)
    kernels = _stretched(torch.exp(-apart.square() / (2 * spread**2)))
    highest = (events[:, :, None] * kernels).amax(dim=1)
    return _stretched(highest) * (events > 0).any(dim=1, keepdim=True)


def _stretched(rows: Tensor) -> Tensor:
    """Rows `[R, S]` from 0 to 1; one that is the same everywhere becomes 1."""
    least, most = rows.aminmax(dim=1, keepdim=True)
    return torch.where(most > least, (rows - least) / (most - least), torch.ones_like(rows))
