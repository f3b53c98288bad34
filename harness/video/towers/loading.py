"""An image tower by its source: embedded, a local directory, the hub, or a checkpoint file of OpenAI's CLIP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from harness.errors import UserError
from harness.io.digests import digest, file_digest
from harness.io.hub import check_cached, check_reachable, is_hub_id, silence
from harness.records.extraction import Recipe
from harness.text.tower_files import weights_hash
from harness.video.towers.embedded import EMBEDDED, embedded_name, embedded_tower
from harness.video.towers.openai import from_openai_state, is_openai_state
from harness.video.towers.tower import ImageTower, class_token, pooled, projected_class_token
from harness.weights.readers import read_weights, unwrapped
from harness.weights.torchscript import is_torchscript, read_torchscript

# How a row is read from each kind of model, by what its settings call it.
_KINDS: dict[str, tuple[str, Any]] = {
    "clip": ("CLIPVisionModelWithProjection", projected_class_token),
    "clip_vision_model": ("CLIPVisionModelWithProjection", projected_class_token),
    "siglip": ("SiglipVisionModel", pooled),
    "siglip_vision_model": ("SiglipVisionModel", pooled),
    "vit": ("ViTModel", class_token),
    "dinov2": ("Dinov2Model", class_token),
}
_KNOWN = "CLIP, SigLIP, ViT (DINO) or DINOv2"
_CONFIG = ("config.json",)
# Weights that a tower's rows do not need: ViTModel has a head that DINO never trained.
_UNUSED = ("pooler.",)
_MOST_LAYERS = 200
# No model of the hub is called so.
_FILES = (".pt", ".pth", ".safetensors", ".bin")


def load_image_tower(source: str | None) -> ImageTower:
    """Return the embedded random tower (None or "embedded"), or that of a directory, a hub id or OpenAI's file.

    A hub id may carry a revision: `openai/clip-vit-base-patch16@main`. Of directories and the hub only safetensors
    are read. A tower is named by the hub's commit, or by the hash of its weights.

    Raises:
        UserError: the source is missing, unreachable, or holds no image tower of a known kind.
        Damaged: the hub's cache does not hold what was downloaded.
    """
    if source is None or source == EMBEDDED:
        return embedded_tower()
    path = Path(os.path.expanduser(source))
    what = f"image tower {source}"
    if path.is_file():
        return _openai(path)
    if path.is_dir():
        tower = _pretrained(what, str(path), local_files_only=True)
        # How it computes (activation, heads) stands beside the weights.
        identity = digest(weights_hash(tower.model), file_digest(path / _CONFIG[0]))
        tower.name = f"{path.resolve().name}#{identity[:10]}"
        return tower
    hub_id, _, revision = source.partition("@")
    if not is_hub_id(hub_id) or path.suffix in _FILES:
        raise UserError(f"{what}: no such file or directory; give OpenAI's file, a saved directory or a hub id")
    where: dict[str, Any] = {"revision": revision or "main"}
    try:
        tower = _pretrained(what, hub_id, **where, local_files_only=True)
    except UserError:
        check_reachable(what, hub_id, revision or None)
        tower = _pretrained(what, hub_id, **where)
    check_cached(what, hub_id, revision or "main", _CONFIG)
    commit = getattr(tower.model.config, "_commit_hash", None) or weights_hash(tower.model)
    tower.name = f"{hub_id}@{commit[:10]}"
    return tower


def tower_for(recipe: Recipe | None) -> str | None:
    """Return where the image tower of a recipe can be had: a hub id, None for the embedded one.

    Raises:
        UserError: it came from a directory or file, which only its user knows.
    """
    if recipe is None or recipe.tower == embedded_name():
        return None
    if "#" in recipe.tower:
        raise UserError(f"the features were made with the image tower {recipe.tower}; give it with --image-tower")
    return recipe.tower.partition("@")[0]


def _openai(path: Path) -> ImageTower:
    state = read_torchscript(path) if is_torchscript(path) else unwrapped(read_weights(path))
    if not is_openai_state(state):
        raise UserError(f"image tower {path}: holds no tensors under visual.*; expected a checkpoint of OpenAI's CLIP")
    tower = from_openai_state(state, path.name)
    tower.name = f"{path.name}#{weights_hash(tower.model)[:10]}"
    return tower


def _pretrained(what: str, where: str, **options: Any) -> ImageTower:
    import transformers

    try:
        with silence():
            kind = transformers.AutoConfig.from_pretrained(where, **options).model_type
            if kind not in _KINDS:
                raise ValueError(f"a model of type {kind}, expected {_KNOWN}")
            name, read = _KINDS[kind]
            cls = getattr(transformers, name)
            if cls.config_class.from_pretrained(where, **options).num_hidden_layers > _MOST_LAYERS:
                raise ValueError(f"more than {_MOST_LAYERS} layers")  # they are built before any weight is looked at
            model, info = cls.from_pretrained(
                where, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
            )
    # Third-party loaders fail in many ways (OSError, ValueError, safetensors' own); all mean the same to the user.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"{what}: cannot be loaded ({reason}); it must hold {_KNOWN} as safetensors with its config.json"
        ) from error
    missing = [key for key in info["missing_keys"] if not key.startswith(_UNUSED)]
    if missing or info.get("mismatched_keys"):
        raise UserError(f"{what}: weights are missing, such as {', '.join(sorted(map(str, missing))[:3])}")
    size = model.config.image_size
    if not isinstance(size, int):
        raise UserError(f"{what}: takes pictures of {size}, expected squares")
    dim = model.config.projection_dim if kind.startswith("clip") else model.config.hidden_size
    return ImageTower(model, read, what, size, dim)
