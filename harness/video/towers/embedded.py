"""The image tower that needs no download: a small one with seeded random weights."""

from __future__ import annotations

import torch

from harness.video.towers.tower import ImageTower, new_clip_vision_model, projected_class_token

EMBEDDED = "embedded"
_SEED = 20261129
_WIDTH, _LAYERS, _HEADS, _PATCH, _SIZE, _DIM = 128, 2, 2, 32, 224, 512


def embedded_name() -> str:
    """Return the name of the embedded tower, which says what it is not."""
    return f"seeded-vit-{_LAYERS}x{_WIDTH} (random weights, not CLIP)"


def embedded_tower() -> ImageTower:
    """Return a small tower with seeded random weights: it tells pictures apart, and knows no meaning."""
    model = new_clip_vision_model(
        hidden_size=_WIDTH,
        intermediate_size=4 * _WIDTH,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        image_size=_SIZE,
        patch_size=_PATCH,
        projection_dim=_DIM,
    )
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "norm" in name or "layrnorm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                fan = parameter[0].numel() if parameter.ndim > 1 else parameter.numel()
                spread = 0.3 if "position" in name else fan**-0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return ImageTower(model, projected_class_token, embedded_name(), _SIZE, _DIM)
