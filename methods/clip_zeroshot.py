"""CLIP zero-shot: each snippet's image feature against the class texts (Radford et al., arXiv 2103.00020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Unsupported
from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Reading, Task


class ClipZeroShotConfig(MethodConfig):
    """`temperature` divides cosine similarities before the softmax; CLIP itself starts training from 0.07."""

    temperature: float = 0.07


class ClipZeroShot(Method):
    """No training: a snippet is as abnormal as it is unlike the text of class 0."""

    card = MethodCard(
        name="clip-zeroshot",
        title="CLIP zero-shot",
        family="floor",
        paper="Learning Transferable Visual Models From Natural Language Supervision",
        venue="ICML",
        year=2021,
        arxiv="2103.00020",
        needs_text=True,
        input_scale="any; CLIP image features of the text tower's own model",
        training="none",
        track="zero-shot",
    )
    Config = ClipZeroShotConfig
    config: ClipZeroShotConfig
    classes: Tensor

    def __init__(self, config: ClipZeroShotConfig, task: Task) -> None:
        super().__init__(config, task)
        if task.text is None:
            raise Unsupported("clip-zeroshot needs a text tower")
        with torch.no_grad():
            classes = F.normalize(task.text.encode(task.prompts), dim=1)
        self.register_buffer("classes", classes, persistent=False)

    @classmethod
    def check(cls, task: Task) -> None:
        """Raise `Unsupported` also where features and texts differ in width."""
        super().check(task)
        if task.text is not None and task.text.dim != task.dim:
            raise Unsupported(
                f"clip-zeroshot needs {task.text.dim}-d features, the width of {task.text.name}; "
                f"{task.dataset} has {task.dim}-d"
            )

    def reading(self) -> Reading:
        """Snippet by snippet."""
        return Reading(online=True)

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Class probabilities softmax(cos / temperature) `[B, T, K]` and scores 1 - P(normal) `[B, T]`."""
        cosine = F.normalize(features, dim=2) @ self.classes.T
        probs = (cosine / self.config.temperature).softmax(dim=2)
        # Summed rather than 1 - P: keeps small scores apart.
        return Prediction(probs[..., 1:].sum(dim=2), probs)
