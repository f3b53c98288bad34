"""CLIP's text encoder: frozen weights, through which gradients flow to learned prompts and adapters.

Architecture and names are those of Hugging Face transformers, which is imported when a tower is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

# Token ids of one prompt, from SOT to EOT.
Tokenize = Callable[[str], list[int]]


class TextTower(nn.Module):
    """A frozen CLIP text encoder of L layers, width W and projection D.

    `name` says where the weights come from and goes into every result. Always in eval mode.
    """

    def __init__(self, model: CLIPTextModelWithProjection, tokenizer: Tokenize, name: str) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.tokenizer = tokenizer
        self.name = name
        self.width: int = model.config.hidden_size
        self.dim: int = model.config.projection_dim
        self.layers: int = model.config.num_hidden_layers
        self.context: int = model.config.max_position_embeddings

    def train(self, mode: bool = True) -> TextTower:
        """Stay in eval mode: the tower is frozen."""
        return super().train(False)

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Return token ids `[C, L]` (int64), SOT to EOT, zero-padded to the longest prompt.

        Padding to the full context would change nothing: the mask is causal and EOT is read. A prompt that is too
        long loses its last words.
        """
        rows = [self.tokenizer(prompt) for prompt in prompts]
        rows = [row if len(row) <= self.context else [*row[: self.context - 1], row[-1]] for row in rows]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for ids_row, row in zip(ids, rows, strict=True):
            ids_row[: len(row)] = torch.tensor(row)
        return ids.to(self.model.text_projection.weight.device)

    @staticmethod
    def eot(ids: Tensor) -> Tensor:
        """Return the position of EOT `[C]` in zero-padded token ids `[C, L]`: the last one that is not zero."""
        return ((ids != 0) * torch.arange(ids.shape[1], device=ids.device)).argmax(dim=1)

    def embed(self, ids: Tensor) -> Tensor:
        """Return token embeddings `[C, L, W]` of ids `[C, L]`, without positions."""
        embedded: Tensor = self.model.text_model.embeddings.token_embedding(ids)
        return embedded

    def forward(
        self, embeddings: Tensor, eot: Tensor, after_layer: Callable[[int, Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the EOT rows `[C, W]` after the final norm, before the projection.

        Args:
            embeddings: token or learned embeddings `[C, L, W]`, without positions.
            eot: position of EOT `[C]`.
            after_layer: called as `after_layer(i, hidden)` with the output `[C, L, W]` of layer i (from 0); what it
                returns is fed on.
        """
        text = self.model.text_model
        length = embeddings.shape[1]
        hidden = embeddings + text.embeddings.position_embedding.weight[:length]
        causal = torch.full((length, length), -torch.inf, dtype=hidden.dtype, device=hidden.device).triu(1)
        for index, layer in enumerate(text.encoder.layers):
            hidden = layer(hidden, causal[None, None])
            if after_layer is not None:
                hidden = after_layer(index, hidden)
        rows = torch.arange(len(hidden), device=hidden.device)
        normed: Tensor = text.final_layer_norm(hidden[rows, eot])
        return normed

    def project(self, rows: Tensor) -> Tensor:
        """Return CLIP's projection `[C, D]` of EOT rows `[C, W]`."""
        projected: Tensor = self.model.text_projection(rows)
        return projected

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return projected text features `[C, D]`, not normalised."""
        ids = self.tokenize(prompts)
        return self.project(self(self.embed(ids), self.eot(ids)))


def new_clip_text_model(**sizes: int) -> CLIPTextModelWithProjection:
    """Return transformers' model of these sizes, in OpenAI's form, with weights that the caller replaces."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    end = sizes["vocab_size"] - 1
    config = CLIPTextConfig(
        **sizes, hidden_act="quick_gelu", bos_token_id=end - 1, eos_token_id=end, pad_token_id=0, attention_dropout=0.0
    )
    # The constructor draws initial weights; the caller's generator must not notice.
    with torch.random.fork_rng(devices=[]):
        return CLIPTextModelWithProjection(config).float()
