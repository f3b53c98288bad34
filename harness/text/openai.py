"""A text tower from weights under the names of OpenAI's CLIP."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from harness.errors import UserError
from harness.text.tower import TextTower, Tokenize, new_clip_text_model


def from_openai_state(
    state: Mapping[str, Tensor], heads: int, tokenizer: Tokenize | None = None, name: str = "openai state"
) -> TextTower:
    """Return a tower with weights under OpenAI's CLIP names; sizes are read from the shapes, other keys ignored.

    `text_projection` is `[W, D]`, applied as x @ P. Without a `tokenizer` the tower takes token ids only.
    """
    numbers = [int(m[1]) for key in state if (m := re.match(r"transformer\.resblocks\.(\d+)\.", key))]
    vocabulary, width = state["token_embedding.weight"].shape
    model = new_clip_text_model(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=max(numbers) + 1,
        num_attention_heads=heads,
        max_position_embeddings=state["positional_embedding"].shape[0],
        projection_dim=state["text_projection"].shape[1],
    )
    ours = {
        "text_projection.weight": state["text_projection"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    renamed = {"attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    renamed |= {"ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    for kind in ("weight", "bias"):
        ours[f"text_model.final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
        for layer in range(max(numbers) + 1):
            theirs, own = f"transformer.resblocks.{layer}", f"text_model.encoder.layers.{layer}"
            for part, rows in zip("qkv", state[f"{theirs}.attn.in_proj_{kind}"].chunk(3), strict=True):
                ours[f"{own}.self_attn.{part}_proj.{kind}"] = rows
            for old, new in renamed.items():
                ours[f"{own}.{new}.{kind}"] = state[f"{theirs}.{old}.{kind}"]
    model.load_state_dict(ours)
    return TextTower(model, tokenizer or _no_tokenizer, name)


def _no_tokenizer(prompt: str) -> list[int]:
    raise UserError(f"text tower without a tokenizer cannot read the prompt {prompt!r}")
