"""What the rows of a file with labels of its own are: the file does not say, but known test sets may."""

from __future__ import annotations

from harness.data.cards import card_names, find_card
from harness.errors import UserError

# What a row may be called on request; both count once each.
UNITS = ("frames", "snippets")


def recognised(videos: int, rows: int) -> tuple[str, str] | None:
    """Return (unit, reason) where a built-in test set has as many videos, and frames or snippets that fit the rows.

    The last snippet of a video may be a part, there or not, so that the snippets of a test set may be fewer or more
    than its frames say by one for each video. None where no card, or only cards that disagree, would fit.
    """
    found: dict[str, list[str]] = {}
    for name in card_names():
        try:
            card = find_card(name)
        except UserError:  # a damaged card is the business of those who use it
            continue
        if card.splits["test"].videos != videos:
            continue
        protocols = (card.protocol, *card.protocol.variants.values())
        stride, frames = card.alignment.stride, {each.frames for each in protocols if each.frames}
        if rows in frames:
            found.setdefault("frames", []).append(name)
        elif any(abs(rows * stride - total) < videos * stride for total in frames):
            found.setdefault("snippets", []).append(name)
    if len(found) != 1:
        return None
    ((unit, names),) = found.items()
    several = f"{names[0]} has" if len(names) == 1 else f"{' and '.join(names)} have"
    return unit, f"{several} {videos} test videos and about as many {unit}"
