"""What features of the wrong shape probably are, so that the error says how to go on."""

from __future__ import annotations

from harness.data.card_parts import FeatureCard

# Widths of the features that the field shares.
WIDTHS = {
    128: "VGGish audio",
    512: "CLIP ViT-B/16 or ViT-B/32",
    768: "CLIP ViT-L/14",
    1024: "I3D of one stream",
    2048: "I3D ResNet-50, or both streams of I3D",
    4096: "C3D",
}


def wrong_shape(shape: tuple[int, ...], name: str, spec: FeatureCard, audio: bool = False) -> str:
    """Return what is wrong with an array of a feature file, what it looks like, and what helps.

    `spec` is the card's feature set `name`; `audio`: the file is of its audio features.
    """
    width = spec.audio_dim if audio else spec.file_dim
    less = f" less `features.{name}.audio_dim`" if spec.audio_dim and not audio else ""
    field = f"`features.{name}.{'audio_dim' if audio else 'dim'}`{less} of the card"
    stacked = spec.stacked and not audio
    expected = f"(snippets, {spec.crops}, {width})" if stacked else f"(snippets, {width})"
    return f"shape {shape}, expected {expected} by {field}{_hint(shape, width, spec, stacked)}"


def _hint(shape: tuple[int, ...], width: int, spec: FeatureCard, stacked: bool) -> str:
    if not stacked and len(shape) == 2 and shape[0] == width != shape[1]:
        return "; looks transposed, save features.T"
    if not stacked and len(shape) == 3 and shape[0] == 1 and shape[2] == width:
        return "; has an axis too many in front, save features[0]"
    if not stacked and len(shape) == 3 and shape[2] == width:
        return f"; looks like {shape[1]} crops in one file, for which a card says `stacked: true, crops: {shape[1]}`"
    if stacked and len(shape) == 2 and shape[1] == width:
        return "; looks like one crop a file, for which a card leaves out `stacked: true`"
    if stacked and len(shape) == 3 and shape[2] == width:
        return f"; holds {shape[1]} crops, for which a card says `crops: {shape[1]}`"
    if len(shape) == (3 if stacked else 2) and shape[-1] in WIDTHS and shape[-1] != width:
        likely = f"looks like {WIDTHS[shape[-1]]}"
        return f"; {likely}: choose another set with --features, or write `dim: {shape[-1]}` in a card of your own"
    return ""
