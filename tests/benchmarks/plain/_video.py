"""VadCLIP's video encoder as published (dv 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.methods.layers.clip import LocalBlock, VideoEncoder
from harness.methods.layers.graphs import GraphLayer
from tests.benchmarks.plain._time import convolved


def encoded(encoder: VideoEncoder, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return visual features `[B, T, D]` and binary logits `[B, T]` of windows `[B, T, D]` of full length."""
    z = features + encoder.positions
    for block in encoder.blocks:
        z = attended(block, z)
    similar = near = z
    similarity = similarities(z, lengths, encoder.threshold)
    # 2.3 and 8.7: the constant is built again on every forward.
    distance = distances(z.shape[1]).to(z).expand(len(z), -1, -1)
    for by_content, by_time in zip(encoder.similar, encoder.near, strict=True):
        similar = activated(along(by_content, similar, similarity))
        near = activated(along(by_time, near, distance))
    visual = encoder.join(torch.cat([similar, near], dim=2))
    hidden = encoder.mlp.c_proj(activated(encoder.mlp.c_fc(visual)))
    logits: Tensor = encoder.classifier(visual + hidden)
    return visual, logits.squeeze(2)


def attended(block: LocalBlock, z: Tensor) -> Tensor:
    """2.2: attention among all T positions under a mask that leaves blocks of `window`."""
    number = torch.arange(z.shape[1]) // block.window
    mask = z.new_zeros(z.shape[1], z.shape[1]).masked_fill(number[:, None] != number, -torch.inf)
    normed = block.ln_1(z)
    z = z + block.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
    mapped: Tensor = z + block.mlp.c_proj(activated(block.mlp.c_fc(block.ln_2(z))))
    return mapped


def activated(x: Tensor) -> Tensor:
    """QuickGELU."""
    return x * torch.sigmoid(1.702 * x)


def along(layer: GraphLayer, x: Tensor, adjacency: Tensor) -> Tensor:
    """2.4: A (X W) plus the residual."""
    rest = x if layer.residual is None else convolved(layer.residual, x.transpose(1, 2)).transpose(1, 2)
    return adjacency @ (x @ layer.weight) + rest


def distances(length: int) -> Tensor:
    """2.3: exp(-|i - j| / e), `[T, T]`."""
    steps = torch.arange(length, dtype=torch.float32)
    return torch.exp(-(steps[:, None] - steps).abs() / math.e)


def similarities(z: Tensor, lengths: Tensor, threshold: float) -> Tensor:
    """2.3: the similarity adjacency `[B, T, T]`, video by video."""
    norms = z.norm(dim=2, keepdim=True)
    cosine = z @ z.transpose(1, 2) / (norms @ norms.transpose(1, 2) + 1e-20)
    cosine = torch.where(cosine > threshold, cosine, torch.zeros_like(cosine))
    adjacency = torch.zeros_like(cosine)
    for video, length in enumerate(lengths.tolist()):
        adjacency[video, :length, :length] = cosine[video, :length, :length].softmax(dim=1)
    return adjacency
