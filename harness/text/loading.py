"""A text tower by its source: embedded, from a local directory, or from the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UserError
from harness.io.hub import check_cached, check_reachable, is_hub_id, silence
from harness.text.embedded import embedded_tower
from harness.text.tower import TextTower, Tokenize
from harness.text.tower_files import CHECKED, tower_hash, weights_hash

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection

# The largest CLIP text models have 32.
_MOST_LAYERS = 200


def load_text_tower(source: str | None) -> TextTower:
    """Return the embedded random tower (`source` None), or the tower in a local directory or of a hub id.

    A hub id may carry a revision: `openai/clip-vit-base-patch16@main`. Only safetensors are read. The tower of a
    directory is named by the hash of its weights, settings and tokenizer, one of the hub by its commit.

    Raises:
        UserError: the source is missing, unreachable or no CLIP text model.
        Damaged: the hub's cache does not hold what was downloaded.
    """
    if source is None:
        return embedded_tower()
    directory = Path(os.path.expanduser(source))
    if os.path.isdir(directory):
        model, tokenize = _pretrained(source, str(directory), local_files_only=True)
        return TextTower(model, tokenize, f"{directory.resolve().name}#{tower_hash(model, directory)[:10]}")
    hub_id, _, revision = source.partition("@")
    if not is_hub_id(hub_id) or os.path.exists(directory):
        raise UserError(
            f"text tower {source}: no such directory; give a directory saved by save_pretrained or a hub id"
        )
    where: dict[str, Any] = {"revision": revision or "main"}
    try:
        model, tokenize = _pretrained(source, hub_id, **where, local_files_only=True)
    except UserError:
        check_reachable(f"text tower {source}", hub_id, revision or None)
        model, tokenize = _pretrained(source, hub_id, **where)
    check_cached(f"text tower {source}", hub_id, revision or "main", CHECKED)
    commit = getattr(model.config, "_commit_hash", None) or weights_hash(model)
    return TextTower(model, tokenize, f"{hub_id}@{commit[:10]}")


def _pretrained(source: str, where: str, **options: Any) -> tuple[CLIPTextModelWithProjection, Tokenize]:
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModelWithProjection

    try:
        with silence():
            layers = CLIPTextConfig.from_pretrained(where, **options).num_hidden_layers
            if layers > _MOST_LAYERS:  # they are built one by one before any weight is looked at
                raise ValueError(f"{layers} layers, at most {_MOST_LAYERS}")
            model, info = CLIPTextModelWithProjection.from_pretrained(
                where, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(where, **options)
            ids = list(tokenizer("a person")["input_ids"])
    # Third-party loaders fail in many ways (OSError, ValueError, safetensors' own); all mean the same to the user.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"text tower {source}: cannot be loaded ({reason}); it must hold a CLIP text model as safetensors "
            "with its tokenizer"
        ) from error
    if info["missing_keys"] or info.get("mismatched_keys"):
        raise UserError(f"text tower {source}: not a CLIP text model with projection (weights are missing)")
    if max(*ids, *tokenizer.get_vocab().values()) >= model.config.vocab_size:
        raise UserError(f"text tower {source}: its tokenizer knows more tokens than the model; are they of one model?")
    return model, lambda prompt: list(tokenizer(prompt)["input_ids"])
