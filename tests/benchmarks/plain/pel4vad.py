"""PEL4VAD as published (more 2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.pel4vad import PEL4VAD, ContextAttention, Forward
from harness.plugin import Batch
from tests.benchmarks.plain._time import convolved


class Plain(PEL4VAD):
    """What is more work than needed.

    - local attention: its T x T mask is filled row by row on each forward, and covers a whole T x T softmax.
    - loss: bags and pooling video by video; similarities among the pooled videos are computed and never read.
    - evaluation: one video at a time.
    """

    def forward(self, features: Tensor, valid: Tensor) -> Forward:
        """Score videos `[B, T, D]`; nothing is masked."""
        c = self.config
        x = self.norm(features + attended(self.attention, features)).transpose(1, 2)
        visual = F.dropout(F.gelu(convolved(self.visual, x)), c.dropout, self.training)
        embedded = F.dropout(F.gelu(convolved(self.embed, visual)), c.dropout, self.training)
        logits = convolved(self.classifier, F.pad(embedded, (c.classifier_kernel - 1, 0))).squeeze(1)
        return Forward(logits.sigmoid(), visual.transpose(1, 2))

    def losses(
        self, out: Forward, batch: Batch, classes: Tensor, background: Tensor, foreground: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss terms, weighted."""
        c = self.config
        bags, pooled, texts, ids = [], [], [], []
        for video, (length, kind) in enumerate(zip(batch.lengths.tolist(), classes.tolist(), strict=True)):
            scores, visual = out.scores[video], out.visual[video]
            bags.append(scores[:length].topk(length // c.topk_divisor + 1 if kind else 1).values.mean())
            pooled.append(pool(visual, scores, c.sharpness))
            texts.append(foreground[video])
            ids.append(kind)
            if kind:
                pooled.append(pool(visual, 1 - scores, c.sharpness))
                texts.append(background[video])
                ids.append(0)
        rows = F.normalize(torch.stack(pooled), dim=1)
        scale = self.logit_scale.exp()
        scale * rows @ rows.T  # "Video-video logits computed, unused."
        logits = scale * rows @ F.normalize(torch.stack(texts), dim=1).T
        prompts = c.prompt_weight * self.prompt_loss(logits, torch.tensor(ids))
        return {"bags": F.binary_cross_entropy(torch.stack(bags), batch.abnormal), "prompts": prompts}


def pool(visual: Tensor, scores: Tensor, sharpness: float) -> Tensor:
    """Return the mean `[V]` of visual features `[T, V]`, weighted by scores `[T]`."""
    return F.normalize(torch.exp(sharpness * scores) - 1, p=1, dim=0) @ visual


def attended(attention: ContextAttention, x: Tensor) -> Tensor:
    """Map `[B, T, D]` to `[B, T, D]` by global and local attention."""
    assert attention.slope is not None
    assert attention.bias is not None
    assert attention.alpha is not None
    query, key, value = attention.q(x), attention.k(x), attention.v(x)
    places = torch.arange(x.shape[1], dtype=x.dtype)
    steps = places[:, None] - places
    kernel = torch.exp(-(attention.slope * steps.square() - attention.bias).abs())
    similar = query @ key.transpose(1, 2) / math.sqrt(key.shape[2]) + kernel
    outside = window_mask(x.shape[1], attention.config.window) == 0
    share = attention.alpha.sigmoid()
    wide, local = similar.softmax(dim=2) @ value, similar.masked_fill(outside, -1e9).softmax(dim=2) @ value
    mixed = share * wide + (1 - share) * local
    if attention.config.time_norm:
        mixed = F.normalize(F.relu(mixed).sqrt() - F.relu(-mixed).sqrt(), dim=1)
    mapped: Tensor = attention.o(mixed)
    return mapped


def window_mask(length: int, window: int) -> Tensor:
    """Return `[T, T]`: 1 in the columns around a row's own."""
    mask = torch.zeros(length, length)
    for row in range(length):
        mask[row, (row - window // 2 + torch.arange(window)).clamp(0, length - 1)] = 1
    return mask
