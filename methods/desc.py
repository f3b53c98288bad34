"""DeSC: decoupled sensitivity-consistency learning (arXiv 2603.19780, ICME 2026), inference only.

The official code has neither training nor losses, so this runs from the two official checkpoints, one per stream.
Dropout is left out for that reason, and the consistency stream's mixture head is there but not read by the scores.

Every shape is `[B, T, D]`: B videos or windows, T snippets, D channels; C classes, class 0 normal.

What the official code does and this file repeats: padded rows take part in everything but the similarity graph; the
two data sets are read and scored differently (`fit`, `score`); the "acausal" convolutions are causal; the sensitivity
stream's texts end in two EOT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.errors import Unsupported
from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Task
from harness.text.tower import TextTower

from .layers.clip import (
    MLP,
    VADCLIP_NAMES,
    QuickGELU,
    TextAlignment,
    TwoBranch,
    VideoEncoder,
    depth,
    renamed,
)
from .layers.convolution import TimeConv
from .layers.graphs import distance_adjacency, similarity_adjacency
from .layers.prompts import ClassPrompts

StreamName = Literal["consistency", "sensitivity"]


class DeSCConfig(MethodConfig):
    """Names for every constant; one entry of `streams` runs that stream alone.

    `fit`: how a video meets the encoders' `visual_length` V. "windows" reads V snippets from 0, V, 2 V, ... and the
    last V, and averages where they overlap; "interpolate" stretches or shrinks the video to V and the scores back.
    `score`: the binary classifier, or 1 - the alignment's probability of normal.
    """

    streams: tuple[StreamName, ...] = ("consistency", "sensitivity")
    visual_length: int = 256
    prompt_prefix: int = 10
    align_temperature: float = 0.07
    graph_threshold: float = 0.7
    fit: Literal["windows", "interpolate"] = "windows"
    score: Literal["binary", "alignment"] = "binary"
    # Consistency stream.
    visual_layers: int = 2
    visual_heads: int = 1
    attn_window: int = 8
    mixture: Literal["gmp", "multigmp"] = "gmp"
    components: int = 5
    # Sensitivity stream.
    tcn_levels: int = 7
    tcn_kernel: int = 5
    graph_layers: int = 1
    graph_heads: int = 2


class CausalBlock(nn.Module):
    """Two dilated convolutions over the past, a residual, a norm."""

    def __init__(self, dim: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv1 = TimeConv(dim, dim, kernel, dilation=dilation)
        self.conv2 = TimeConv(dim, dim, kernel, dilation=dilation)
        self.gelu = QuickGELU()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, D]` to `[B, T, D]`."""
        seen = x
        for conv in (self.conv1, self.conv2):
            seen = self.gelu(conv(F.pad(seen, (0, 0, self.past, 0))))
        mapped: Tensor = self.norm(seen + x)
        return mapped


class GraphBlock(nn.Module):
    """Pre-norm transformer block with a bias on its attention."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(dim)
        self.mlp = MLP(dim)
        self.ln_2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map x `[B, T, D]` to `[B, T, D]`; bias `[B, T, T]` is the same for all heads."""
        h = self.ln_1(x)
        mask = bias.repeat_interleave(self.heads, dim=0)
        x = x + self.attn(h, h, h, attn_mask=mask, need_weights=False)[0]
        mapped: Tensor = x + self.mlp(self.ln_2(x))
        return mapped


class SensitivityEncoder(nn.Module):
    """Causal convolutions beside a transformer whose attention is biased by both graphs of VadCLIP."""

    distance: Tensor

    def __init__(self, config: DeSCConfig, dim: int) -> None:
        super().__init__()
        c = config
        self.threshold = c.graph_threshold
        self.positions = nn.Parameter(torch.randn(c.visual_length, dim) * 0.01)
        self.tcn = nn.ModuleList(CausalBlock(dim, c.tcn_kernel, 2**level) for level in range(c.tcn_levels))
        self.graph = nn.ModuleList(GraphBlock(dim, c.graph_heads) for _ in range(c.graph_layers))
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.beta = nn.Parameter(torch.tensor(0.5))
        self.join = nn.Linear(2 * dim, dim)
        self.gelu = QuickGELU()
        self.norm = nn.LayerNorm(dim)
        self.mlp = MLP(dim)
        self.classifier = nn.Linear(dim, 1)
        self.register_buffer("distance", distance_adjacency(c.visual_length), persistent=False)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return visual features V `[B, T, D]` and binary logits a `[B, T]` of features `[B, T, D]`."""
        length = features.shape[1]
        local = features + self.positions[:length]
        by_graph = local
        similarity, distance = similarity_adjacency(local, lengths, self.threshold), self.distance[:length, :length]
        bias = self.alpha * torch.log(similarity + 1e-8) + self.beta * torch.log(distance + 1e-8)
        for level in self.tcn:
            local = level(local)
        for block in self.graph:
            by_graph = block(by_graph, bias)
        visual: Tensor = self.norm(self.gelu(self.join(torch.cat([local, by_graph], dim=2))))
        return visual, self.mlp.residual_logits(self.classifier, visual)


class MixtureHead(nn.Module):
    """Means and spreads of Gaussians per snippet: one per class ("gmp"), or some free ones ("multigmp")."""

    def __init__(self, dim: int, gaussians: int, interleaved: bool) -> None:
        super().__init__()
        self.interleaved = interleaved
        self.linear = nn.Linear(dim, 2 * gaussians)

    def forward(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Return means in [0, 1] and positive spreads, `[B, T, G]`, of visual features `[B, T, D]`."""
        pairs = self.linear(visual)
        mean, spread = (pairs[..., 0::2], pairs[..., 1::2]) if self.interleaved else pairs.chunk(2, dim=-1)
        return mean.sigmoid(), F.softplus(spread) + 1e-6


class Stream(nn.Module):
    """One of the two networks: an encoder, learned class texts, their alignment."""

    def __init__(self, name: StreamName, config: DeSCConfig, task: Task, tower: TextTower) -> None:
        super().__init__()
        c, dim, sensitive = config, task.dim, name == "sensitivity"
        self.prompts = ClassPrompts(tower, task.prompts, c.prompt_prefix, 0, repeat_eot=sensitive)
        local = (c.visual_length, c.visual_layers, c.visual_heads, c.attn_window, c.graph_threshold)
        self.encoder = SensitivityEncoder(c, dim) if sensitive else VideoEncoder(dim, *local)
        self.align = TextAlignment(dim, c.align_temperature)
        gaussians = len(task.classes) if c.mixture == "gmp" else c.components
        self.head = None if sensitive else MixtureHead(dim, gaussians, c.mixture == "multigmp")

    def forward(self, tower: TextTower, features: Tensor, lengths: Tensor) -> TwoBranch:
        """Return what the stream makes of windows `[B, T, D]`."""
        text = self.prompts(tower)
        visual, logits1 = self.encoder(features, lengths)
        return TwoBranch(text, visual, logits1, self.align(visual, logits1, text))


# Windows that are read at once: bounds memory where many short videos come together.
_WINDOWS = 32


class DeSC(Method):
    """Two networks, one for lasting and one for sudden anomalies; their scores are averaged."""

    card = MethodCard(
        name="desc",
        title="DeSC (official weights only)",
        family="clip",
        paper="Decoupled Sensitivity-Consistency Learning for Weakly Supervised Video Anomaly Detection",
        venue="ICME",
        year=2026,
        arxiv="2603.19780",
        source="imzht/DeSC@f8df87c",
        published_as="DeSC",
        parameters=39_069_730,
        needs_text=True,
        feature_dims=(512,),
        input_scale="CLIP ViT-B/16 image features, mean norm about 10",
        training="inference-only",
    )
    Config = DeSCConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ucf-crime": {},
        "xd-violence": {
            "fit": "interpolate",
            "score": "alignment",
            "visual_layers": 1,
            "attn_window": 64,
            "mixture": "multigmp",
            "tcn_levels": 1,
            "tcn_kernel": 3,
            "graph_layers": 2,
        },
    }
    # CLIP's frozen towers, of which the text tower is loaded by name; a number that the distance graph never reads.
    unused_official: ClassVar[tuple[str, ...]] = (
        r"((consistency|sensitivity)\.)?(module\.)?clipmodel\..*",
        r"((consistency|sensitivity)\.)?(module\.)?disAdj\.sigma",
    )
    config: DeSCConfig

    def __init__(self, config: DeSCConfig, task: Task) -> None:
        super().__init__(config, task)
        if task.text is None or task.text.dim != task.dim:
            raise Unsupported(f"desc needs a text tower of the features' width, {task.dim}")
        self.text = task.text
        self.streams = nn.ModuleDict({name: Stream(name, config, task, self.text) for name in config.streams})

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores and class probabilities, both the mean of the streams; a few videos at a time."""
        bring = self.by_windows if self.config.fit == "windows" else self.by_interpolation
        videos = max(1, _WINDOWS * self.config.visual_length // max(self.config.visual_length, features.shape[1]))
        groups = zip(torch.split(features, videos), torch.split(lengths, videos), strict=True)
        values = torch.cat([bring(*group) for group in groups])
        probs = values[..., 1:]
        scores = values[..., 0] if self.config.score == "binary" else 1 - probs[..., 0]
        return Prediction(scores.clamp(0, 1), probs)

    def by_windows(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return what `read` does for videos `[B, T, D]`, `[B, T, 1 + C]`, from consecutive windows.

        The last window ends with the video; where it overlaps the one before, the mean counts.
        """
        size, (batch, longest, _) = self.config.visual_length, features.shape
        counts = (lengths + size - 1) // size
        video = torch.arange(batch, device=lengths.device).repeat_interleave(counts)
        number = torch.arange(len(video), device=lengths.device) - (counts.cumsum(0) - counts)[video]
        start = torch.minimum(number * size, (lengths[video] - size).clamp(min=0))
        rows = start[:, None] + torch.arange(size, device=lengths.device)
        inside = rows < lengths[video, None]
        windows = features[video[:, None], rows.clamp(max=longest - 1)] * inside[:, :, None]
        values = self.read(windows, inside.sum(dim=1))[inside]
        places = (video[:, None] * longest + rows)[inside]
        sums = values.new_zeros(batch * longest, values.shape[1]).index_add(0, places, values)
        times = torch.bincount(places, minlength=batch * longest).clamp(min=1)
        return (sums / times[:, None]).view(batch, longest, -1)

    def by_interpolation(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return what `read` does for videos `[B, T, D]`, `[B, T, 1 + C]`, brought to the encoders' length and back."""
        size = self.config.visual_length
        full = torch.full_like(lengths, size)
        values = self.read(resample(features, lengths, full, size), full)
        return resample(values, full, lengths, features.shape[1])

    def read(self, windows: Tensor, lengths: Tensor) -> Tensor:
        """Return sigmoid(logits1) and softmax(logits2), means over the streams, `[W, V, 1 + C]`, of `[W, V, D]`."""
        outs: list[TwoBranch] = [stream(self.text, windows, lengths) for stream in self.streams.values()]
        parts = [torch.cat([out.logits1.sigmoid()[..., None], out.logits2.softmax(dim=2)], dim=2) for out in outs]
        return torch.stack(parts).mean(dim=0)

    @classmethod
    def official_stream(cls, state: Mapping[str, Tensor]) -> str:
        """Return "consistency." or "sensitivity.": what to put before the keys of an official file.

        Each stream has a file of its own, and most keys stand in both; `official_state` reads them with the prefix.

        Raises:
            Unsupported: the file is of neither stream.
        """
        parts = {key.removeprefix("module.").split(".")[0] for key in state}
        if "tcn_module" in parts:
            return "sensitivity."
        if parts & {"gmp_head", "gmm_head"}:
            return "consistency."
        raise Unsupported("neither a consistency nor a sensitivity checkpoint of DeSC")

    @classmethod
    def official_sizes(cls, state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
        """Width and the settings that show in the shapes of one official file, or of both under their prefixes."""
        plain = {re.sub(r"^((consistency|sensitivity)\.)?(module\.)?", "", key): v for key, v in state.items()}
        length, dim = plain["frame_position_embeddings.weight"].shape
        sizes: dict[str, Any] = {"visual_length": length}
        if "tcn_module.layers.0.conv1.weight" in plain:
            sizes["tcn_kernel"] = plain["tcn_module.layers.0.conv1.weight"].shape[2]
            sizes["tcn_levels"] = depth(plain, "tcn_module.layers.")
            sizes["graph_layers"] = depth(plain, "gt_module.resblocks.")
        if "linear.weight" in plain:
            sizes["visual_layers"] = depth(plain, "temporal.resblocks.")
            sizes["mixture"] = "gmp" if "gmp_head.weight" in plain else "multigmp"
        if "gmm_head.weight" in plain:
            sizes["components"] = plain["gmm_head.weight"].shape[0] // 2
        return dim, sizes

    def official_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename official keys that have the prefix of their stream (see `official_stream`); others are left out."""
        found: dict[str, Tensor] = {}
        for name in ("consistency.", "sensitivity."):
            own = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
            found |= {f"streams.{name}{key}": value for key, value in renamed(own, _OFFICIAL).items()}
        return found


_OFFICIAL = {
    **VADCLIP_NAMES,
    "gmp_head.": "head.linear.",
    "gmm_head.": "head.linear.",
    "tcn_module.layers.": "encoder.tcn.",
    "gt_module.resblocks.": "encoder.graph.",
    "alpha": "encoder.alpha",
    "beta": "encoder.beta",
    "fusion_mlp.0.": "encoder.join.",
    "fusion_mlp.2.": "encoder.norm.",
}


def resample(x: Tensor, have: Tensor, want: Tensor, length: int) -> Tensor:
    """Interpolate linearly along time, first and last rows fixed: `[B, length, D]` of x `[B, T, D]`.

    Of video b the first have[b] rows become want[b]; rows beyond are without meaning. In float32 as
    `F.interpolate(align_corners=True)` does it.
    """
    scale = (have - 1).float() / (want - 1).clamp(min=1)
    places = scale[:, None] * torch.arange(length, device=x.device)
    last = (have - 1)[:, None]
    low = torch.minimum(places.long(), last)
    share = (places - low).clamp(0, 1)[:, :, None]
    before, after = (
        x.gather(1, rows[:, :, None].expand(-1, -1, x.shape[2])) for rows in (low, torch.minimum(low + 1, last))
    )
    return before * (1 - share) + after * share
