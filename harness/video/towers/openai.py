"""An image tower from weights under the names of OpenAI's CLIP."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from harness.errors import UserError, one_line
from harness.video.towers.tower import ImageTower, new_clip_vision_model, projected_class_token

_PREFIX = "visual."
# OpenAI's towers have heads of 64 channels.
_HEAD = 64
_RENAMED = {
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
}


def is_openai_state(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is that of one of OpenAI's models, with a vision transformer or another image tower."""
    return any(key.startswith(_PREFIX) for key in state)


def from_openai_state(state: Mapping[str, Tensor], name: str, heads: int | None = None) -> ImageTower:
    """Return the tower in `visual.*`; sizes are read from the shapes, other keys ignored.

    `visual.proj` is `[W, D]`, applied as x @ P. `heads` defaults to one for 64 channels.

    Raises:
        UserError: there is no vision transformer, or weights are missing.
    """
    # The text tower's names are the same but for the prefix.
    visual = {key.removeprefix(_PREFIX): value.float() for key, value in state.items() if key.startswith(_PREFIX)}
    try:
        return _tower(visual, name, heads)
    except KeyError as error:
        raise UserError(
            f"image tower {name}: {_PREFIX}{error.args[0]} is missing; expected a vision transformer of CLIP (ViT)"
        ) from error
    except (ValueError, IndexError, RuntimeError, ArithmeticError) as error:
        raise UserError(
            f"image tower {name}: the shapes of {_PREFIX}* are not those of a vision transformer of CLIP (ViT) "
            f"({one_line(error)})"
        ) from error


def _tower(state: Mapping[str, Tensor], name: str, heads: int | None) -> ImageTower:
    width, _, patch, _ = state["conv1.weight"].shape
    places, _ = state["positional_embedding"].shape
    numbers = [int(m[1]) for key in state if (m := re.match(r"transformer\.resblocks\.(\d+)\.", key))]
    layers = max(numbers, default=-1) + 1
    size = round((places - 1) ** 0.5) * patch
    model = new_clip_vision_model(
        hidden_size=width,
        intermediate_size=state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=heads or width // _HEAD,
        image_size=size,
        patch_size=patch,
        projection_dim=state["proj"].shape[1],
    )
    ours = {
        "visual_projection.weight": state["proj"].T,
        "vision_model.embeddings.class_embedding": state["class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    for kind in ("weight", "bias"):
        ours[f"vision_model.pre_layrnorm.{kind}"] = state[f"ln_pre.{kind}"]
        ours[f"vision_model.post_layernorm.{kind}"] = state[f"ln_post.{kind}"]
        for layer in range(layers):
            theirs, own = f"transformer.resblocks.{layer}", f"vision_model.encoder.layers.{layer}"
            for part, rows in zip("qkv", state[f"{theirs}.attn.in_proj_{kind}"].chunk(3), strict=True):
                ours[f"{own}.self_attn.{part}_proj.{kind}"] = rows
            for old, new in _RENAMED.items():
                ours[f"{own}.{new}.{kind}"] = state[f"{theirs}.{old}.{kind}"]
    model.load_state_dict(ours)
    return ImageTower(model, projected_class_token, name, size, state["proj"].shape[1])
