"""AnomalyCLIP as published (more 6)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.anomalyclip import AnomalyCLIP, Forward
from harness.methods.layers.clip import unit
from harness.plugin import Prediction
from tests.benchmarks.plain._texts import full_context


class Plain(AnomalyCLIP):
    """What is more work than needed.

    - prompts: texts are encoded at all 77 slots. The specification does not say how often at test: once here.
    - data: a test video repeats itself up to whole grids of 512 frames, video by video.
    """

    kept: Tensor | None = None

    def forward(self, grids: Tensor) -> Forward:
        """Score grids `[B, S * F, D]`, all in one pass."""
        x = grids - self.centroid
        logits = self.norm((x @ unit(self.class_texts()[1:] - self.centroid).T).flatten(0, 1).double())
        logits = logits.to(x.dtype).unflatten(0, grids.shape[:2])
        square = self.project(x).transpose(1, 2).unflatten(2, (self.config.segments, self.config.frames))
        assert self.axial is not None
        hidden = self.axial(square).flatten(2).transpose(1, 2)
        return Forward(logits, self.classifier(self.last_norm(hidden)).squeeze(2))

    def class_texts(self) -> Tensor:
        """Return text features `[K, D]`, not normalised."""
        if not self.training and self.kept is not None:
            return self.kept
        directions, tower = self.directions, self.text
        assert directions.context is not None
        tokens = tower.embed(full_context(directions.ids, tower.context - directions.context.shape[1]))
        tokens = torch.cat([tokens[:, :1], directions.context, tokens[:, 1:]], dim=1)
        self.kept = tower(tokens, directions.eot) @ directions.projection
        return self.kept

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores and class probabilities of one video `[1, T, D]`."""
        s, f = self.config.segments, self.config.frames
        length = features.shape[1]
        grids = -(-length // (s * f))
        rows = torch.arange(grids * s * f) % length
        blocks = features[0, rows].unflatten(0, (s, grids, f)).transpose(0, 1)
        probs = self(blocks.flatten(1, 2)).log_probs.exp()
        in_order = probs.unflatten(1, (s, f)).transpose(0, 1).flatten(0, 2)[None, :length]
        return Prediction(in_order[..., 1:].sum(dim=2).clamp(max=1), in_order)
