"""DSANet: disentangled semantic alignment of video and text (arXiv 2511.10334, AAAI 2026).

Every shape is `[B, T, D]`: B windows, T snippets, D channels; C classes, class 0 normal; M prototypes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

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
from harness.text.tower import TextTower

from .layers.clip import (
    MLP,
    VADCLIP_NAMES,
    TextAlignment,
    TwoBranch,
    VideoEncoder,
    depth,
    renamed,
    soft_cross_entropy,
    unit,
)
from .layers.prototypes import PrototypeBlock, Rows
from .layers.time import topk_mean, valid_mean
from .stable_adamw import StableAdamW, warmup_cosine


class DSANetConfig(MethodConfig):
    """Names for every constant. `text_mix` is the paper's weight of adapted text, `temperature` that of the test.

    `off` names loss terms to leave out; without `consistency` and `gather` there is no normality model.
    """

    # Architecture.
    embed_dim: int = 512
    visual_length: int = 256
    visual_layers: int = 2
    visual_heads: int = 1
    attn_window: int = 8
    text_adapt_until: int = 3
    text_mix: float = 0.1
    num_prototypes: int = 16
    prototype_heads: int = 8
    decoder_depth: int = 8
    normal_ratio: float = 0.8
    # Losses and scores.
    align_temperature: float = 0.07
    pool_sharpness: float = 10.0
    label_smoothing: float = 0.1
    background_rest: float = 0.01
    loss2_weight: float = 1.1
    off: tuple[Literal["binary", "alignment", "text", "event", "background", "consistency", "gather"], ...] = ()
    temperature: float = 5.0
    # Training.
    sampling_mode: Literal["pairs", "mixed"] = "pairs"
    batch: int = 64
    drop_last: bool = True
    epochs: int = 10
    steps_per_epoch: int | None = None
    lr: float = 7e-5
    weight_decay: float = 0.01
    refiner_weight_decay: float = 1e-4
    refiner_warmup: int = 100
    refiner_final: float = 0.1
    look_every: int | None = 10
    look_first: int = 11


class TextEncoder(nn.Module):
    """Class texts through the frozen CLIP tower with a bias-free adapter after each of its first layers."""

    ids: Tensor

    def __init__(self, tower: TextTower, prompts: Sequence[str], adapt_until: int, mix: float, dim: int) -> None:
        super().__init__()
        if adapt_until > tower.layers:
            raise Unsupported(f"dsanet adapts {adapt_until} text layers; {tower.name} has {tower.layers}")
        self.mix = mix
        width = tower.width
        self.adapters = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(adapt_until))
        self.output = nn.Linear(width, dim, bias=False)
        for layer in [*self.adapters, self.output]:
            nn.init.xavier_uniform_(layer.weight)
        self.register_buffer("ids", tower.tokenize(prompts), persistent=False)
        self._cache: tuple[list[Tensor], Tensor] | None = None

    def forward(self, tower: TextTower) -> Tensor:
        """Return unit text features `[C, D]`.

        Without gradients they are kept until a weight changes. The official code keeps them for good, so its class
        scores during training use the texts of the first evaluation.
        """
        if torch.is_grad_enabled():
            return self._encode(tower)
        weights, kept = list(self.parameters()), self._cache
        if kept is None or any(a.device != b.device or not a.equal(b) for a, b in zip(kept[0], weights, strict=True)):
            kept = self._cache = ([weight.detach().clone() for weight in weights], self._encode(tower))
        return kept[1]

    def _encode(self, tower: TextTower) -> Tensor:
        rows: Tensor = self.output(tower(tower.embed(self.ids), tower.eot(self.ids), self._adapt))
        return unit(F.leaky_relu(rows))

    def _adapt(self, index: int, hidden: Tensor) -> Tensor:
        if index >= len(self.adapters):
            return hidden
        adapted: Tensor = F.leaky_relu(self.adapters[index](hidden))
        # The adapted text takes the length of the original, token by token.
        adapted = adapted * (hidden.norm(dim=-1, keepdim=True) / (adapted.norm(dim=-1, keepdim=True) + 1e-6))
        return self.mix * adapted + (1 - self.mix) * hidden


class NormalityRefiner(nn.Module):
    """Self-guided normality modelling: a window rebuilt from prototypes of its most normal snippets."""

    def __init__(self, config: DSANetConfig) -> None:
        super().__init__()
        dim, heads = config.embed_dim, config.prototype_heads
        self.ratio = config.normal_ratio
        self.prototypes = nn.Parameter(torch.randn(config.num_prototypes, dim))
        self.gather = PrototypeBlock(dim, heads, rectified=False)
        self.bottleneck = MLP(dim)
        self.decoder = nn.ModuleList(PrototypeBlock(dim, heads, rectified=True) for _ in range(config.decoder_depth))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
                nn.init.zeros_(module.bias)

    def forward(self, visual: Tensor, scores: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the rebuilt features `[B, T, D]` and the gather loss (scalar); scores `[B, T]`, padding included.

        With lengths `[B]` that are `known` on the CPU, padded rows are not rebuilt: zeros.
        """
        count = max(1, int(self.ratio * visual.shape[1]))
        rows = scores.detach().topk(count, dim=1, largest=False, sorted=False).indices
        normal = visual.detach().gather(1, rows[:, :, None].expand(-1, -1, visual.shape[2]))
        prototypes = self.gather(self.prototypes.expand(len(visual), -1, -1), normal)
        distance = 1 - F.normalize(normal, dim=-1) @ F.normalize(prototypes, dim=-1).transpose(1, 2)
        length = visual.shape[1]
        packed = None if known is None or (known >= length).all() else Rows(known, length, visual.device)
        rebuilt = self.bottleneck(visual if packed is None else packed.pack(visual))
        for block in self.decoder:
            rebuilt = block(rebuilt, prototypes, packed)
        return rebuilt if packed is None else packed.spread(rebuilt), distance.min(dim=2).values.mean()


@dataclass(frozen=True)
class Forward(TwoBranch):
    """What a training forward computes, texts with unit norm; logits3 is the event's, logits4 the background's."""

    logits3: Tensor  # [B, C]
    logits4: Tensor  # [B, C]
    rebuilt: Tensor  # [B, T, D]
    gather: Tensor  # scalar


class DSANet(Method):
    """Snippet scores from a video encoder, shaped by alignment with class texts and by normality modelling."""

    card = MethodCard(
        name="dsanet",
        title="DSANet",
        family="clip",
        paper="DSANet: Disentangled Semantic Alignment Network for weakly supervised video anomaly detection",
        venue="AAAI",
        year=2026,
        arxiv="2511.10334",
        source="lessiYin/DSANet@1417406",
        published_as="DSANet",
        parameters=44_130_882,
        needs_text=True,
        feature_dims=(512,),
        input_scale="CLIP ViT-B/16 image features, mean norm about 10",
    )
    Config = DSANetConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {
            **{"visual_layers": 1, "attn_window": 64, "text_adapt_until": 1, "text_mix": 0.6, "loss2_weight": 5.0},
            **{"temperature": 1.0, "sampling_mode": "mixed", "batch": 96, "drop_last": False, "lr": 1e-5},
            **{"look_every": None, "look_first": 0},
        },
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "fast": {
            **{"visual_length": 32, "decoder_depth": 1, "batch": 8, "epochs": 9, "steps_per_epoch": 8},
            **{"lr": 2e-4, "warmup_steps": 24, "average_last": 0.25, "refiner_warmup": 10, "look_every": None},
        },
    }
    ablations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "text adapters": {"text_adapt_until": 0},
        "self-guided normality": {"off": ("consistency", "gather")},
        "decoupled alignment": {"off": ("event", "background")},
        **{f"{name} loss": {"off": (name,)} for name in ("alignment", "text", "event", "background", "consistency")},
    }
    # CLIP's frozen towers, stored twice, of which the text tower is loaded by name; a number that is never read.
    unused_official: ClassVar[tuple[str, ...]] = (r"(clip_adapter\.)?clipmodel\..*", r"disAdj\.sigma")
    config: DSANetConfig

    def __init__(self, config: DSANetConfig, task: Task) -> None:
        super().__init__(config, task)
        if task.text is None:
            raise Unsupported("dsanet needs a text tower")
        c, dim = config, config.embed_dim
        self.text = task.text
        self.texts = TextEncoder(self.text, task.prompts, c.text_adapt_until, c.text_mix, dim)
        self.encoder = VideoEncoder(dim, c.visual_length, c.visual_layers, c.visual_heads, c.attn_window)
        self.align = TextAlignment(dim, config.align_temperature)
        normality = {"consistency", "gather"} - set(c.off)
        self.refiner = NormalityRefiner(config) if normality else None

    def forward(self, features: Tensor, lengths: Tensor, known: Tensor | None = None) -> Forward:
        """Return all logits and losses' inputs for windows `[B, T, D]`. Both poolings include padded rows.

        With lengths that are `known` on the CPU, padded rows are not rebuilt; no loss reads them.
        """
        text = self.texts(self.text)
        visual, logits1 = self.encoder(features, lengths, known)
        scores = logits1.sigmoid()
        rebuilt, gather = self.refiner(visual, scores, known) if self.refiner else (visual, scores.sum() * 0)
        logits2 = self.align(visual, logits1, text)
        logits3, logits4 = (self._pooled_logits(visual, weights, text) for weights in (scores, 1 - scores))
        return Forward(text, visual, logits1, logits2, logits3, logits4, rebuilt, gather)

    def _pooled_logits(self, visual: Tensor, scores: Tensor, text: Tensor) -> Tensor:
        # As published, but for rounding: there exp(x) - 1 is 0 for all scores below 6e-8, and 0/0 where a video has no
        # others. Where all scores are exactly 0 (features of a scale that CLIP never has) this is NaN still.
        weights = F.normalize(torch.expm1(self.config.pool_sharpness * scores), p=1, dim=1)
        pooled = (weights[:, None] @ visual).squeeze(1)
        return unit(pooled) @ text.T / self.config.align_temperature

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the total."""
        return self.losses(self(batch.features, batch.lengths, batch.known_lengths), batch)

    def losses(self, out: Forward, batch: Batch) -> dict[str, Tensor]:
        """Return the loss terms, weighted, of a forward pass."""
        config, classes = self.config, out.text.shape[0]
        target = batch.labels / batch.labels.sum(dim=1, keepdim=True)
        background = torch.full_like(target[:1], config.background_rest)
        background[:, 0] = 1.0
        scores = out.logits1.sigmoid()
        surprise = (1 - F.cosine_similarity(out.visual, out.rebuilt, dim=2)) / 2

        def smooth(soft: Tensor) -> Tensor:
            return (1 - config.label_smoothing) * soft + config.label_smoothing / classes

        terms = {
            "binary": F.binary_cross_entropy(topk_mean(scores, batch.lengths), batch.abnormal),
            "alignment": config.loss2_weight * soft_cross_entropy(topk_mean(out.logits2, batch.lengths), target),
            "text": (out.text[1:] @ out.text[0]).abs().sum() / (classes - 1),
            "event": soft_cross_entropy(out.logits3, smooth(target)),
            "background": soft_cross_entropy(out.logits4, smooth(background / background.sum())),
            "consistency": valid_mean((scores - surprise).square(), batch.lengths, batch.known_lengths),
            "gather": out.gather,
        }
        return {name: term for name, term in terms.items() if name not in config.off}

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores sigmoid(a) and class probabilities; the normality model is not needed at test."""
        visual, logits1 = self.encoder(features, lengths)
        logits2 = self.align(visual, logits1, self.texts(self.text))
        return Prediction(logits1.sigmoid(), self.class_probs(logits1, logits2))

    def class_probs(self, logits1: Tensor, logits2: Tensor) -> Tensor:
        """Return `[B, T, C]`: the abnormal mass sigmoid(a / temperature), shared out among the abnormal classes."""
        abnormal = (logits1 / self.config.temperature).sigmoid().unsqueeze(-1)
        share = (logits2 / self.config.temperature).softmax(dim=-1)[..., 1:]
        share = share / (share.sum(dim=-1, keepdim=True) + 1e-12)
        return torch.cat([1 - abnormal, abnormal * share], dim=-1)

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
        """AdamW with a cosine per epoch; StableAdamW with warm-up and cosine per step for the normality model.

        The latter is laid out over the batches of both lists, as published, so pairs stop half-way down the curve.
        """
        c = self.config
        refined = set(self.refiner.parameters()) if self.refiner else set()
        main = [p for p in self.parameters() if p.requires_grad and p not in refined]
        adamw = AdamW(main, lr=c.lr, weight_decay=c.weight_decay, fused=True)
        schedules = [Schedule(adamw, CosineAnnealingLR(adamw, plan.epochs), "epoch")]
        if self.refiner is None:
            return schedules
        stable = StableAdamW(self.refiner.parameters(), lr=c.lr, weight_decay=c.refiner_weight_decay)
        batches = len(plan.list_batches) * c.steps_per_epoch if c.steps_per_epoch else sum(plan.list_batches)
        total = plan.epochs * batches
        rate = LambdaLR(stable, lambda step: warmup_cosine(step, total, c.refiner_warmup, c.refiner_final))
        return [*schedules, Schedule(stable, rate, "step")]

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width, lengths and depths; heads of the video encoder and its attention window do not show in the shapes."""
        plain = {key.removeprefix("module."): value for key, value in state.items()}
        length, dim = plain["frame_position_embeddings.weight"].shape
        return dim, {
            "embed_dim": dim,
            "visual_length": length,
            "visual_layers": depth(plain, "temporal.resblocks."),
            "text_adapt_until": depth(plain, "clip_adapter.text_adapter.") - 1,
            "num_prototypes": plain["video_anomaly_refiner.video_prototypes"].shape[0],
            "prototype_heads": plain["video_anomaly_refiner.decoder.0.attn.learn_scale"].shape[0],
            "decoder_depth": depth(plain, "video_anomaly_refiner.decoder."),
        }

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an official checkpoint's keys. The last of its text adapters is our output projection."""
        last = self.config.text_adapt_until
        ours = {i: f"texts.adapters.{i}." for i in range(last)} | {last: "texts.output."}
        adapters = {f"clip_adapter.text_adapter.{i}.fc.0.": name for i, name in ours.items()}
        refiner = {"video_prototypes": "prototypes", "dnp_extractor.0.": "gather.", "": ""}
        names = {f"video_anomaly_refiner.{theirs}": f"refiner.{ours}" for theirs, ours in refiner.items()}
        return renamed(state, {**VADCLIP_NAMES, **names, **adapters})
