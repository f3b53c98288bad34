"""CLIP-TSA as published (more 3)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.cliptsa import CLIPTSA
from harness.methods.layers.magnitude import select
from harness.methods.layers.multiscale import MultiScale, NonLocal
from tests.benchmarks.plain._time import convolved, sequence


class Plain(CLIPTSA):
    """What is more work than needed.

    - hard attention: an indicator of N draws x K snippets x T, of which only the sum over K is used.
    - non-local block: the T x T matrix of all pairs of snippets.
    - evaluation: selects snippets by magnitude, which only losses read; one video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return aggregated features `[R, T, D]` and scores `[R, T]` of rows `[R, T, D]` of equal lengths."""
        c, attention = self.config, self.attention
        assert attention is not None
        scores = attention.fc2(F.relu(attention.fc1(features))).squeeze(2).sigmoid()
        count = max(1, int(c.kept * features.shape[1]))
        if not self.training:
            count = min(count, c.kept_at_most)
        noise = attention.noise(features) if noise is None else noise
        shares = Indicators.apply(scores, noise, count, c.noise_scale)
        x = shares[:, :, None] * features
        assert self.net.aggregate is not None
        aggregated = self.dropped(multi_scale(self.net.aggregate, x.transpose(1, 2)).transpose(1, 2))
        hidden = aggregated
        for layer in list(self.net.layers)[:-1]:
            hidden = self.dropped(F.relu(layer(hidden)))
        snippets = self.net.layers[-1](hidden).squeeze(2).sigmoid()
        if not self.training:
            select(aggregated, snippets, 1, max(1, c.segments // c.selected_share), torch.ones_like(snippets))
        return aggregated, snippets

    def dropped(self, x: Tensor) -> Tensor:
        """Dropout."""
        return F.dropout(x, self.config.dropout, self.training)


class Indicators(torch.autograd.Function):
    """Shares of draws in which each snippet is among the K of highest perturbed score, from an N x K x T indicator.

    In the usual form of this estimator (Cordonnier et al., CVPR 2021): the one-hot vectors of all chosen snippets.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, noise: Tensor, count: int, scale: float) -> Tensor:
        """Return shares `[R, T]` of scores `[R, T]` under noise `[R, N, T]`."""
        places = (scores[:, None] + scale * noise).topk(count, dim=2, sorted=False).indices.sort(dim=2).values
        indicator = F.one_hot(places, scores.shape[1]).to(scores.dtype)
        ctx.save_for_backward(indicator, noise)
        ctx.scale = scale
        return indicator.mean(dim=1).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the scores, the noise contracted as published."""
        indicator, noise = ctx.saved_tensors
        along = torch.einsum("rnt,rt->rn", noise, grads[0])
        scores = torch.einsum("rnkt,rn->rt", indicator, along) / (noise.shape[1] * ctx.scale)
        return scores, None, None, None


def multi_scale(net: MultiScale, x: Tensor) -> Tensor:
    """Return the aggregate `[R, D, T]` of x `[R, D, T]`."""
    assert net.reduce is not None
    assert net.non_local is not None
    parts = [sequence(branch, x) for branch in net.branches]
    parts.append(non_local(net.non_local, F.relu(convolved(net.reduce, x))))
    joined: Tensor = sequence(net.join, torch.cat(parts, dim=1)) + x
    return joined


def non_local(block: NonLocal, x: Tensor) -> Tensor:
    """Return the block's output by its T x T matrix (theta^T phi) / T."""
    pairs = convolved(block.theta, x).transpose(1, 2) @ convolved(block.phi, x) / x.shape[2]
    spread: Tensor = sequence(block.out, (pairs @ convolved(block.g, x).transpose(1, 2)).transpose(1, 2))
    return spread + x
