"""Class texts at CLIP's full context: every prompt is a row of 77 slots (dv 1.2, 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.methods.layers.prompts import ClassPrompts
from harness.text.tower import TextTower


def full_context(ids: Tensor, context: int) -> Tensor:
    """Return token ids `[C, L]` zero-padded to `[C, context]`."""
    return F.pad(ids, (0, context - ids.shape[1]))


def prompted(prompts: ClassPrompts, tower: TextTower) -> Tensor:
    """Return projected text features `[C, D]` of prompts with learned vectors in every slot that holds no token."""
    slots = F.pad(prompts.slots, (0, tower.context - prompts.slots.shape[1]), value=-1)
    tokens = tower.embed(slots.clamp(min=0))
    if prompts.context is not None:
        tokens = torch.where((slots < 0)[:, :, None], prompts.context, tokens)
    return tower.project(tower(tokens, prompts.eot))
