"""HL-Net: not only look, but also listen (Wu et al., ECCV 2020, arXiv 2007.04687).

Every shape is `[B, T, D]`: B videos, T snippets, D channels. Features may be any concatenation of modalities.

What the official code does and this file repeats: thresholded similarities stay in the softmax, the distance graph is
not normalised, and in training padded rows take part in it and in the convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from harness.errors import Unsupported
from harness.plugin import Batch, Method, MethodCard, MethodConfig, Prediction, Sampling, Schedule, Task, TrainingPlan

from .layers.clip import renamed
from .layers.convolution import TimeConv
from .layers.dropout import dropout
from .layers.graphs import GraphLayer, by_distance, row_graph, similarity_adjacency, valid_softmax
from .layers.time import topk_mean, valid_mask

Graph = Callable[[Tensor], Tensor]


class HLNetConfig(MethodConfig):
    """Names for every constant.

    Parts of the paper switch off: `holistic`, `localised` and `scored` are the branches over the graphs of similarity,
    distance and scores, `online_weight` and `distill_weight` the online branch's own loss and its distillation from the
    offline one. `score` chooses which of the two predicts.
    """

    # Architecture.
    widths: tuple[int, int, int] = (512, 128, 32)
    online_widths: tuple[int, int] = (64, 32)
    online_kernel: int = 5
    dropout: float = 0.6
    similarity_threshold: float = 0.7
    score_centre: float = 0.5
    score_scale: float = 0.1
    holistic: bool = True
    localised: bool = True
    scored: bool = True
    score: Literal["offline", "online"] = "offline"
    # Losses.
    topk_divisor: int = 16
    online_weight: float = 1.0
    distill_weight: float = 5.0
    # Training.
    length: int = 200
    batch: int = 128
    epochs: int = 50
    steps_per_epoch: int | None = None
    lr: float = 1e-4
    online_lr: float = 5e-5
    decay_epoch: int = 10
    decay: float = 0.1


@dataclass(frozen=True)
class Forward:
    """Logits of both branches, `[B, T]`."""

    offline: Tensor
    online: Tensor


class HLNet(Method):
    """Three graph branches look at the whole video (offline); a causal branch learns from them (online)."""

    card = MethodCard(
        name="hlnet",
        title="HL-Net",
        family="mil",
        paper="Not only Look, but also Listen: Learning Multimodal Violence Detection under Weak Supervision",
        venue="ECCV",
        year=2020,
        arxiv="2007.04687",
        source="Roc-Ng/XDVioDet@f846d8c",
        published_as="HL-Net (XDVioDet)",
        parameters=842_883,
        input_scale="any; similarities are calibrated on non-negative I3D features",
    )
    Config = HLNetConfig
    # Only its training on XD-Violence was published.
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"xd-violence": {}}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"length": 64, "batch": 32, "epochs": 40, "steps_per_epoch": 10, "lr": 1.5e-3, "online_lr": 5e-4},
            **{"decay_epoch": 36, "average_last": 0.5, "warmup_steps": 20},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "similarity graph": {"holistic": False},
        "distance graph": {"localised": False},
        "score graph": {"scored": False},
        "distillation": {"distill_weight": 0.0},
    }
    # Layers that no forward pass reads.
    unused_official: ClassVar[tuple[str, ...]] = (r"conv1d[34]\..*", r"simAdj\.weight[01]", r"disAdj\.sigma")
    config: HLNetConfig

    def __init__(self, config: HLNetConfig, task: Task) -> None:
        super().__init__(config, task)
        c = config
        first, second, inner = c.widths
        self.reduce = nn.ModuleList([TimeConv(task.dim, first, 1), TimeConv(first, second, 1)])
        self.online = nn.ModuleList(
            [
                TimeConv(second, c.online_widths[0], 1),
                TimeConv(*c.online_widths, 1),
                TimeConv(c.online_widths[1], 1, c.online_kernel),
            ]
        )
        chosen = [name for name in ("holistic", "localised", "scored") if getattr(c, name)]
        if not chosen:
            raise Unsupported("hlnet needs one of its branches: holistic, localised, scored")
        self.branches = nn.ModuleDict(
            {name: nn.ModuleList([GraphLayer(second, inner), GraphLayer(inner, inner)]) for name in chosen}
        )
        self.classifier = nn.Linear(inner * len(chosen), 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, features: Tensor, lengths: Tensor, masked: bool = False) -> Forward:
        """Return both branches' logits of videos `[B, T, D]`.

        With `masked` no valid snippet sees padding; without it, as in the official training, convolutions and the
        distance graph do.
        """
        valid = valid_mask(lengths, features.shape[1])
        inside = valid[:, :, None].to(features.dtype) if masked else torch.ones_like(features[:, :, :1])
        x = features
        for layer in self.reduce:
            x = self._drop(F.relu(layer(x)))
        online = self._online(x)
        x = x * inside
        graphs = self.graphs(features, lengths, online.detach().sigmoid())
        graphs["localised"] = lambda y: by_distance(y * inside)
        joined = torch.cat([self._branch(name, x, graphs[name]) for name in self.branches], dim=2)
        return Forward(self.classifier(joined).squeeze(2), online)

    def _online(self, x: Tensor) -> Tensor:
        """Causal: a logit sees its own snippet and the four before it."""
        for layer in list(self.online)[:-1]:
            x = F.relu(layer(x))
        logits: Tensor = self.online[-1](F.pad(x, (0, 0, self.config.online_kernel - 1, 0)))
        return logits.squeeze(2)

    def graphs(self, features: Tensor, lengths: Tensor, scores: Tensor) -> dict[str, Graph]:
        """Return the graphs of similarity (of features) and of scores `[B, T]`, as maps of `[B, T, C]`."""
        c = self.config
        size = features.shape[:2]

        def similar(start: int, stop: int) -> Tensor:
            return similarity_adjacency(features, lengths, c.similarity_threshold, start, stop)

        def scored(start: int, stop: int) -> Tensor:
            close = 1 - (scores[:, start:stop, None] - scores[:, None, :]).abs()
            return valid_softmax(((close - c.score_centre) / c.score_scale).sigmoid(), lengths, start)

        wanted = {"holistic": similar, "scored": scored}
        return {name: row_graph(rows, *size) for name, rows in wanted.items() if name in self.branches}

    def _branch(self, name: str, x: Tensor, graph: Graph) -> Tensor:
        for layer in self.branches[name].children():
            assert isinstance(layer, GraphLayer)
            x = self._drop(F.relu(layer.spread(x, graph)))
        return x

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout, self.training)

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total, of the batch cut to its longest video."""
        out = self(batch.features[:, : batch.longest], batch.lengths)
        return self.losses(out, batch)

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted: both branches' top-k losses, and distillation."""
        c = self.config
        return {
            "offline": self._bags(out.offline, batch),
            "online": c.online_weight * self._bags(out.online, batch),
            "distill": c.distill_weight * self.distillation(out, batch.lengths),
        }

    def _bags(self, logits: Tensor, batch: Batch) -> Tensor:
        top = topk_mean(logits, batch.lengths, self.config.topk_divisor)
        return F.binary_cross_entropy(top.sigmoid(), batch.abnormal)

    def distillation(self, out: Forward, lengths: Tensor) -> Tensor:
        """Half a cross-entropy of the online scores against the offline ones, the mean over each video's snippets."""
        surprise = -out.offline.detach().sigmoid() * F.logsigmoid(out.online)
        inside = valid_mask(lengths, surprise.shape[1])
        return ((surprise * inside).sum(dim=1) / lengths).mean()

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores of the offline branch, or of the online one."""
        out = self(features, lengths, masked=True)
        return Prediction((out.offline if self.config.score == "offline" else out.online).sigmoid())

    def sampling(self) -> Sampling:
        """Mixed batches; long videos give 200 evenly spaced rows, short ones are padded."""
        c = self.config
        return Sampling(
            "mixed", c.batch, c.length, c.epochs, "pick-or-pad", steps_per_epoch=c.steps_per_epoch, drop_last=False
        )

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam, the online branch at half the rate; rates fall before the tenth epoch, as in the official code."""
        c = self.config
        online = set(self.online.parameters())
        *layers, last = self.online
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters() if p not in online]},
            {"params": [p for layer in layers for p in layer.parameters()], "lr": c.online_lr},
            {"params": list(last.parameters()), "lr": c.online_lr},
        ]
        adam = Adam(groups, lr=c.lr, fused=True)
        steps = LambdaLR(adam, lambda epoch: c.decay if epoch + 1 >= c.decay_epoch else 1.0)
        return [Schedule(adam, steps, "epoch")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Widths and the online kernel."""
        shapes = {key.removeprefix("module."): value.shape for key, value in state.items()}
        first, dim, _ = shapes["conv1d1.weight"]
        second, inner = shapes["gc1.weight"]
        online = (shapes["approximator.0.weight"][0], shapes["approximator.2.weight"][0])
        kernel = shapes["conv1d_approximator.weight"][2]
        return dim, {"widths": (first, second, inner), "online_widths": online, "online_kernel": kernel}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys; layers that nothing reads are left out."""
        return renamed(state, _OFFICIAL)


_OFFICIAL = {
    "conv1d1.": "reduce.0.",
    "conv1d2.": "reduce.1.",
    "approximator.0.": "online.0.",
    "approximator.2.": "online.1.",
    "conv1d_approximator.": "online.2.",
    "gc1.": "branches.holistic.0.",
    "gc2.": "branches.holistic.1.",
    "gc3.": "branches.localised.0.",
    "gc4.": "branches.localised.1.",
    "gc5.": "branches.scored.0.",
    "gc6.": "branches.scored.1.",
    "classifier.": "classifier.",
}
