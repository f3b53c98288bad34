"""DeSC's inference as published (more 5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.desc import CausalBlock, DeSC, SensitivityEncoder, Stream
from harness.plugin import Prediction
from tests.benchmarks.plain._texts import prompted
from tests.benchmarks.plain._time import convolved
from tests.benchmarks.plain._video import activated, distances, encoded, similarities


class Plain(DeSC):
    """What is more work than needed.

    - text: all 77 slots are encoded. The specification does not say how often at test: once here, for each stream.
    - consistency: local attention and graphs as VadCLIP's (dv 2.2, 2.3).
    - sensitivity: convolutions padded on both sides, of which the first T results are kept.
    - evaluation: video by video, every window padded, and padded rows go through everything.
    """

    kept: dict[str, Tensor] | None = None

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores and class probabilities of one video `[1, T, D]`."""
        size, length = self.config.visual_length, features.shape[1]
        starts = [*range(0, length - size, size), max(length - size, 0)]
        windows = torch.stack([F.pad(w := features[0, s : s + size], (0, 0, 0, size - len(w))) for s in starts])
        ends = torch.full((len(starts),), min(size, length))
        if self.kept is None:
            self.kept = {name: prompted(stream.prompts, self.text) for name, stream in self.streams.items()}
        values = torch.stack([self.stream(name, windows, ends) for name in self.streams]).mean(dim=0)
        sums, times = torch.zeros(length, values.shape[2]), torch.zeros(length, 1)
        for start, window, end in zip(starts, values, ends.tolist(), strict=True):
            sums[start : start + end] += window[:end]
            times[start : start + end] += 1
        mean = (sums / times)[None]
        return Prediction(mean[..., 0], mean[..., 1:])

    def stream(self, name: str, windows: Tensor, lengths: Tensor) -> Tensor:
        """Return sigmoid(logits1) and softmax(logits2) of one stream, `[W, V, 1 + C]`, of `[W, V, D]`."""
        assert self.kept is not None
        stream: Stream = self.streams[name]
        read = sensed if isinstance(stream.encoder, SensitivityEncoder) else encoded
        visual, logits1 = read(stream.encoder, windows, lengths)
        logits2 = stream.align(visual, logits1, self.kept[name])
        return torch.cat([logits1.sigmoid()[..., None], logits2.softmax(dim=2)], dim=2)


def sensed(encoder: SensitivityEncoder, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return visual features `[B, T, D]` and binary logits `[B, T]` of windows `[B, T, D]` of full length."""
    local = by_graph = features + encoder.positions
    distance = distances(local.shape[1]).expand(len(local), -1, -1)
    similarity = similarities(local, lengths, encoder.threshold)
    bias = encoder.alpha * torch.log(similarity + 1e-8) + encoder.beta * torch.log(distance + 1e-8)
    for level in encoder.tcn:
        local = past(level, local)
    for block in encoder.graph:
        by_graph = block(by_graph, bias)
    visual = encoder.norm(activated(encoder.join(torch.cat([local, by_graph], dim=2))))
    hidden = encoder.mlp.c_proj(activated(encoder.mlp.c_fc(visual)))
    logits: Tensor = encoder.classifier(visual + hidden)
    return visual, logits.squeeze(2)


def past(level: CausalBlock, x: Tensor) -> Tensor:
    """Map `[B, T, D]` by two convolutions padded on both sides and cut to T, a residual and a norm."""
    length, seen = x.shape[1], x.transpose(1, 2)
    for conv in (level.conv1, level.conv2):
        seen = activated(convolved(conv, F.pad(seen, (level.past, level.past)))[..., :length])
    normed: Tensor = level.norm(seen.transpose(1, 2) + x)
    return normed
