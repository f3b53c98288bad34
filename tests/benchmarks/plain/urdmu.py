"""UR-DMU as published (mil 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.methods.urdmu import URDMU, Forward, Memory
from tests.benchmarks.plain._dual import encoded


class Plain(URDMU):
    """What is more work than needed.

    - model: both attention maps of every head as T x T matrices, the fixed one built again in each block.
    - training forward: both memories and the encoders of what they say read normal and abnormal videos separately.
    - evaluation: one video at a time.
    """

    def forward(self, features: Tensor, lengths: Tensor, normal: int = 0, noise: Tensor | None = None) -> Forward:
        """Read videos `[B, T, D]` of equal lengths, N = `normal` of them normal; with none nothing is sampled."""
        x = encoded(self.encoder, features)
        return self.trained(x, normal) if normal else self.tested(x)

    def trained(self, x: Tensor, normal: int) -> Forward:
        """Return what the losses need of encoded snippets `[B, T, H]`."""
        n, a = x[:normal], x[normal:]
        abnormality_a, abnormal_a = said(self.abnormal_memory, a)
        normality_a, normal_a = said(self.normal_memory, a)
        abnormality_n, abnormal_n = said(self.abnormal_memory, n)
        normality_n, normal_n = said(self.normal_memory, n)
        mean, log_variance = self.encode_mean(normal_n), self.encode_log_variance(normal_n)
        drawn = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        from_abnormal_a, from_normal_a = self.encode_mean(abnormal_a), self.encode_mean(normal_a)
        from_abnormal_n = self.encode_mean(abnormal_n)
        joined = torch.cat(
            [torch.cat([n, drawn + from_abnormal_n], dim=2), torch.cat([a, from_abnormal_a + from_normal_a], dim=2)]
        )
        return Forward(
            x,
            torch.cat([abnormality_n, abnormality_a]),
            torch.cat([normality_n, normality_a]),
            torch.cat([from_abnormal_n, from_abnormal_a]),
            torch.cat([drawn, from_normal_a]),
            mean,
            log_variance,
            self.head(joined).squeeze(2).sigmoid(),
        )

    def tested(self, x: Tensor) -> Forward:
        """Return what test scores need of encoded snippets `[B, T, H]`."""
        abnormality, abnormal = said(self.abnormal_memory, x)
        normality, normal = said(self.normal_memory, x)
        from_abnormal, from_normal = self.encode_mean(abnormal), self.encode_mean(normal)
        scores = self.head(torch.cat([x, from_abnormal + from_normal], dim=2)).squeeze(2).sigmoid()
        none = from_normal[:0]
        return Forward(x, abnormality, normality, from_abnormal, from_normal, none, none, scores)


def said(memory: Memory, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return how well the memory knows each snippet `[B, T]`, and what it says of it `[B, T, H]`."""
    known, attention = memory(x)
    return known, attention @ memory.bank
