"""RTFM: robust temporal feature magnitude learning (Tian et al., ICCV 2021, arXiv 2101.10030).

What the official code does and this file repeats by default: the magnitude loss pulls towards the margin from both
sides instead of a hinge, the smoothness also counts the steps from one video to the next, and the sparsity is one norm
over the batch. Its ten crops are any number here, and its 2048 channels any width: branches have a quarter of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.optim import Adam

from harness.plugin import Batch, Looks, Method, MethodCard, Prediction, Sampling, Schedule, Task, TrainingPlan

from .layers.clip import renamed
from .layers.magnitude import BagLossConfig, BagLosses, by_crops, random_masks
from .layers.multiscale import NAMES, MagnitudeNet, net_sizes


class RTFMConfig(BagLossConfig):
    """Names for every constant; those of the losses are in `BagLossConfig`.

    `input_scale` multiplies the features. Parts of the paper switch off: `dilations` () and `non_local` false the two
    halves of the multi-scale network, each weight its loss.
    """

    # Architecture.
    widths: tuple[int, int] = (512, 128)
    dilations: tuple[int, ...] = (1, 2, 4)
    non_local: bool = True
    dropout: float = 0.7
    input_scale: float = 1.0
    # Training.
    segments: int = 32
    batch: int = 32
    epochs: int = 150
    steps_per_epoch: int = 100
    lr: float = 1e-3
    weight_decay: float = 5e-3
    look_every: int = 5
    look_first: int = 205


class RTFM(Method):
    """The snippets of largest feature norm stand for a video; abnormal ones are pushed up, normal ones down."""

    card = MethodCard(
        name="rtfm",
        title="RTFM",
        family="mil",
        paper="Weakly-supervised Video Anomaly Detection with Robust Temporal Feature Magnitude Learning",
        venue="ICCV",
        year=2021,
        arxiv="2101.10030",
        source="tianyu0207/RTFM@cf938f4",
        published_as="RTFM",
        parameters=24_718_849,
        input_scale="any; the margin is calibrated on 2048-d I3D features",
    )
    Config = RTFMConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"ucf-crime": {}, "shanghaitech": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {"batch": 16, "epochs": 10, "steps_per_epoch": 20, "average_last": 0.5, "warmup_steps": 20},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dilated convolutions": {"dilations": ()},
        "non-local block": {"non_local": False},
        "magnitude loss": {"magnitude_weight": 0.0},
    }
    config: RTFMConfig

    def __init__(self, config: RTFMConfig, task: Task) -> None:
        super().__init__(config, task)
        c = config
        self.net = MagnitudeNet(task.dim, c.widths, c.dropout, c.dilations, c.non_local)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return aggregated features `[R, T, D]` and scores `[R, T]` of rows `[R, T, D]`, one crop each."""
        features, scores = self.net(features * self.config.input_scale, lengths)
        return features, scores

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        features, rows = self(batch.features, batch.lengths)
        scores = by_crops(rows, batch.crops).mean(dim=1)
        masks = random_masks(scores, batch.normal // batch.crops, self.config.select_dropout, self.training)
        return BagLosses(self.config, features, scores, batch, masks).terms()

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the snippets."""
        return Prediction(self(features, lengths)[1])

    def sampling(self) -> Sampling:
        """Pairs of batches of videos with all their crops, pooled to 32 segments."""
        c = self.config
        return Sampling(
            "pairs", c.batch, c.segments, c.epochs, "pool", "exhausted", c.steps_per_epoch, crops="together"
        )

    def looks(self) -> Looks:
        """Every 5 steps once 200 are done."""
        return Looks(self.config.look_every, self.config.look_first, over="training")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        c = self.config
        return [Schedule(Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay, fused=True))]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Feature width and the head's widths."""
        return net_sizes(state)

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        return renamed(state, NAMES)
