"""CLIP zero-shot, video by video."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from harness.methods.clip_zeroshot import ClipZeroShot, ClipZeroShotConfig
from harness.plugin import Task
from tests.benchmarks.plain._texts import full_context


class Plain(ClipZeroShot):
    """What is more work than needed: the texts, encoded once, fill all 77 slots. No specification tells more."""

    def __init__(self, config: ClipZeroShotConfig, task: Task) -> None:
        super().__init__(config, task)
        tower = task.text
        assert tower is not None
        ids = full_context(tower.tokenize(task.prompts), tower.context)
        with torch.no_grad():
            self.classes = F.normalize(tower.project(tower(tower.embed(ids), tower.eot(ids))), dim=1)
