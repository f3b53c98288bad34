"""The text tower that needs no download: a small one with seeded random weights, and its tokenizer."""

from __future__ import annotations

from typing import Any

import torch

from harness.text.tower import TextTower, new_clip_text_model

_SEED = 20260101
_WIDTH, _LAYERS, _HEADS, _CONTEXT = 512, 4, 8, 77
# As `TextTower` names them.
EMBEDDED_SIZES = {"width": _WIDTH, "dim": _WIDTH, "layers": _LAYERS, "context": _CONTEXT}
# Some common English pairs, merged by the embedded tokenizer.
_MERGES = ("i n", "in g</w>", "a r", "s h", "s t", "e r", "er y</w>", "a l", "i o", "io n</w>")


def embedded_tower() -> TextTower:
    """Return a small tower with seeded random weights: it knows spelling, not meaning, and needs no download."""
    tokenizer = byte_tokenizer()
    model = new_clip_text_model(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=4 * _WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        max_position_embeddings=_CONTEXT,
        projection_dim=_WIDTH,
    )
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                # Positions weak: prompts should differ by their letters more than agree by their places.
                spread = {"token": 1.0, "posit": 0.1}.get(name.split("embeddings.")[-1][:5], parameter.shape[1] ** -0.5)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        # The same for SOT and EOT, which all prompts share.
        model.text_model.embeddings.token_embedding.weight[-2:] *= 0.2
    return TextTower(model, lambda prompt: list(tokenizer(prompt)["input_ids"]), embedded_name())


def embedded_name() -> str:
    """Return the name of the embedded tower, which says what it is not."""
    return f"seeded-{_LAYERS}x{_WIDTH} (random weights, not CLIP)"


def byte_tokenizer() -> Any:
    """Return a tokenizer that knows every byte and merges some common pairs."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = [tuple(merge.split()) for merge in _MERGES]
    words += ["".join(merge) for merge in merges]
    vocabulary = {word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges)
