"""CLIP-TSA: CLIP-assisted temporal self-attention (Joo et al., ICIP 2023, arXiv 2212.05136).

Hard attention picks snippets, then RTFM's network and losses. What the official code does and this file repeats: the
attention still draws its noise at test (here from a fixed seed), and its backward pass contracts the noise over the
other index than the textbook estimator, which has the same expectation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from harness.plugin import Batch, Looks, Method, MethodCard, Prediction, Sampling, Schedule, Task, TrainingPlan

from .layers.clip import renamed
from .layers.magnitude import BagLossConfig, BagLosses, by_crops, random_masks
from .layers.multiscale import NAMES, MagnitudeNet, net_sizes
from .layers.time import valid_mask


class CLIPTSAConfig(BagLossConfig):
    """Names for every constant; those of the losses are in `BagLossConfig`.

    `embed_dim` is the width that wider features are brought to first, through `reduce_width`. `widths` None is a
    quarter and a sixteenth of the width. `kept` is the share of snippets that hard attention keeps, at most
    `kept_at_most` at test. Parts of the paper switch off: `hard_attention`, `dilations` (), `non_local`, each weight.
    """

    # Architecture.
    embed_dim: int = 512
    reduce_width: int = 1024
    hard_attention: bool = True
    attention_width: int = 256
    kept: float = 0.95
    kept_at_most: int = 1000
    noises: int = 100
    noise_scale: float = 0.05
    test_noise_seed: int = 0
    widths: tuple[int, int] | None = None
    dilations: tuple[int, ...] = (1, 2, 4)
    non_local: bool = True
    dropout: float = 0.7
    # Training.
    segments: int = 32
    batch: int = 16
    epochs: int = 40
    steps_per_epoch: int = 100
    lr: float = 1e-3
    weight_decay: float = 5e-3
    look_every: int = 5
    look_first: int = 155


class PerturbedTopK(torch.autograd.Function):
    """How often each snippet is among the K of highest score when the scores are perturbed (Berthet et al., 2020)."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, counts: Tensor, valid: Tensor, scale: float) -> Tensor:
        """Return shares `[R, T]` of scores `[R, T]` under noise `[R, N, T]`, with K = counts `[R]`.

        Only the indicators are kept, never N x K x T: the shares do not need to know which of the K a snippet is.
        """
        perturbed = scores[:, None] + scale * noise
        left = valid.sum(dim=1) - counts
        # The K-th highest is found from the end that it is nearer to.
        largest = int(counts.max()) <= int(left.max())
        place = counts - 1 if largest else left
        outside = perturbed.masked_fill(~valid[:, None], -torch.inf if largest else torch.inf)
        ranked = outside.topk(int(place.max()) + 1, dim=2, largest=largest).values
        chosen = (perturbed >= ranked.gather(2, place[:, None, None].expand(-1, noise.shape[1], 1))) & valid[:, None]
        ctx.save_for_backward(chosen, noise)
        ctx.scale = scale
        return chosen.to(noise.dtype).mean(dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the scores: sum over the draws that chose snippet d of the noise's product with the gradient."""
        chosen, noise = ctx.saved_tensors
        along = (noise @ grads[0][:, :, None]).squeeze(2)
        scores = torch.einsum("rnt,rn->rt", chosen.to(noise.dtype), along) / (noise.shape[1] * ctx.scale)
        return scores, None, None, None, None


class HardAttention(nn.Module):
    """Scores snippets and weighs each by how often it is kept (Sec. 3.2)."""

    def __init__(self, dim: int, config: CLIPTSAConfig) -> None:
        super().__init__()
        self.config = config
        self.fc1 = nn.Linear(dim, config.attention_width)
        self.fc2 = nn.Linear(config.attention_width, 1)

    def forward(self, x: Tensor, lengths: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return x `[R, T, D]` weighed by shares, and the scores `[R, T]` before perturbation; noise is `[R, N, T]`."""
        c = self.config
        scores = self.fc2(F.relu(self.fc1(x))).squeeze(2).sigmoid()
        counts = (c.kept * lengths.double()).long().clamp(min=1)
        if not self.training:
            counts = counts.clamp(max=c.kept_at_most)
        noise = self.noise(x) if noise is None else noise
        valid = valid_mask(lengths, x.shape[1])
        shares = PerturbedTopK.apply(scores, noise, counts, valid, c.noise_scale)  # type: ignore[no-untyped-call]
        return shares[:, :, None] * x, scores

    def noise(self, x: Tensor) -> Tensor:
        """Draw `[R, N, T]`: anew in training; at test the same for every video, whatever it is batched with."""
        (rows, length), count = x.shape[:2], self.config.noises
        if self.training:
            return torch.randn(rows, count, length, device=x.device, dtype=x.dtype)
        generator = torch.Generator().manual_seed(self.config.test_noise_seed)
        # The generator fills blocks of 16 numbers; whole ones make a longer draw begin with the shorter one.
        drawn = torch.randn(-(-length // 16) * 16, count, generator=generator)[:length]
        return drawn.T.to(x).expand(rows, -1, -1)


class CLIPTSA(Method):
    """RTFM's network on the snippets that a hard attention keeps."""

    card = MethodCard(
        name="cliptsa",
        title="CLIP-TSA",
        family="clip",
        paper="CLIP-TSA: CLIP-Assisted Temporal Self-Attention for Weakly-Supervised Video Anomaly Detection",
        venue="ICIP",
        year=2023,
        arxiv="2212.05136",
        source="joos2010kj/CLIP-TSA@a58353c",
        published_as="CLIP-TSA",
        parameters=2_728_834,
        input_scale="any; made for CLIP ViT-B/16 image features",
    )
    Config = CLIPTSAConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {"kept": 0.9},
        "shanghaitech": {"kept": 0.01, "epochs": 350},
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {"epochs": 24, "steps_per_epoch": 20, "lr": 2e-4, "average_last": 0.5, "warmup_steps": 20},
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "hard attention": {"hard_attention": False},
        "dilated convolutions": {"dilations": ()},
        "non-local block": {"non_local": False},
        "magnitude loss": {"magnitude_weight": 0.0},
    }
    # Brings wider features to 512 channels; 512-d features do not pass it.
    unused_official: ClassVar[tuple[str, ...]] = (r"mlp\..*",)
    config: CLIPTSAConfig

    def __init__(self, config: CLIPTSAConfig, task: Task) -> None:
        super().__init__(config, task)
        c, dim = config, min(task.dim, config.embed_dim)
        wide = task.dim > dim
        self.reduce = nn.ModuleList([nn.Linear(task.dim, c.reduce_width), nn.Linear(c.reduce_width, dim)] * wide)
        self.attention = HardAttention(dim, c) if c.hard_attention else None
        widths = c.widths or (max(1, dim // 4), max(1, dim // 16))
        self.net = MagnitudeNet(dim, widths, c.dropout, c.dilations, c.non_local)
        if self.attention is not None:
            for layer in (self.attention.fc1, self.attention.fc2):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, lengths: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return aggregated features `[R, T, D']` and scores `[R, T]` of rows `[R, T, D]`, one crop each."""
        x = features
        if len(self.reduce):
            x = self.reduce[1](F.relu(self.reduce[0](x))).sigmoid()
        if self.attention is not None:
            x, _ = self.attention(x, lengths, noise)
        aggregated, scores = self.net(x, lengths)
        return aggregated, scores

    def training_loss(self, batch: Batch, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Named terms of the total: RTFM's."""
        features, rows = self(batch.features, batch.lengths, noise)
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
        """Every 5 steps once 150 are done."""
        return Looks(self.config.look_every, self.config.look_first, over="training")

    def schedules(self, plan: TrainingPlan) -> Sequence[Schedule]:
        """Adam at a constant rate."""
        c = self.config
        return [Schedule(Adam(self.parameters(), lr=c.lr, weight_decay=c.weight_decay, fused=True))]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Feature width, that of the layers behind the reducing ones, and widths."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        embed_dim, sizes = net_sizes(plain)
        sizes |= {"embed_dim": embed_dim, "attention_width": plain["hard_attention.scorer.fc1.weight"].shape[0]}
        reducing = plain.get("mlp.fc1.weight")
        if reducing is None or reducing.shape[1] <= embed_dim:
            return embed_dim, sizes
        return reducing.shape[1], sizes | {"reduce_width": reducing.shape[0]}

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys."""
        reducing = {"mlp.fc1.": "reduce.0.", "mlp.fc2.": "reduce.1."} if len(self.reduce) else {}
        attention = {"hard_attention.scorer.": "attention."} if self.attention is not None else {}
        return renamed(state, {**attention, **reducing, **NAMES})
