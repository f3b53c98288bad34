"""A frozen image tower: pictures in, one row for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

# From a model of transformers and its pixels `[N, 3, H, W]` to rows `[N, D]`.
Read = Callable[[Any, Tensor], Tensor]


class ImageTower(nn.Module):
    """A frozen image encoder for squares of `size` pixels, with rows of width `dim`.

    `name` says where the weights come from and goes into every result. Always in eval mode.
    """

    def __init__(self, model: nn.Module, read: Read, name: str, size: int, dim: int) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.read = read
        self.name = name
        self.size = size
        self.dim = dim

    def train(self, mode: bool = True) -> ImageTower:
        """Stay in eval mode: the tower is frozen."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return the rows `[N, D]`, float32 and not normalised, of normalised pictures `[N, 3, S, S]`."""
        first = next(self.model.parameters())
        return self.read(self.model, pixels.to(first.device, first.dtype)).float()


def projected_class_token(model: Any, pixels: Tensor) -> Tensor:
    """Return CLIP's `encode_image`: the class token after the last norm, projected."""
    rows: Tensor = model(pixel_values=pixels).image_embeds
    return rows


def pooled(model: Any, pixels: Tensor) -> Tensor:
    """Return the output of a pooling head, as SigLIP's `get_image_features`."""
    rows: Tensor = model(pixel_values=pixels).pooler_output
    return rows


def class_token(model: Any, pixels: Tensor) -> Tensor:
    """Return the class token after the last norm, as DINO is read."""
    rows: Tensor = model(pixel_values=pixels).last_hidden_state[:, 0]
    return rows


def new_clip_vision_model(**sizes: int) -> CLIPVisionModelWithProjection:
    """Return transformers' model of these sizes, in OpenAI's form, with weights that the caller replaces."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(**sizes, hidden_act="quick_gelu", attention_dropout=0.0)
    # The constructor draws initial weights; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        return CLIPVisionModelWithProjection(config).float()
