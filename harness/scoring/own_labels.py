"""The test set that a file with labels of its own is: what its rows are, it does not say, but known test sets may."""

from __future__ import annotations

from harness.data.card import DatasetCard
from harness.data.cards import card_names, find_card
from harness.errors import UserError
from harness.records.alignment import Alignment
from harness.records.truth import GroundTruth
from harness.scoring.files import ScoredFile
from harness.scoring.rows import FRAMES, parse_rows


def own_truth(found: ScoredFile, rows: str | None = None) -> tuple[GroundTruth, str]:
    """Return the ground truth in a file, and how its rows came to be taken for what they are ("" if as asked).

    `rows` is what `--rows` says: frames, a number of frames, or snippets, which like unknown rows count once each.

    Raises:
        UserError: the file has no labels, or rows are segments, whose frames it does not know.
    """
    if rows is None:
        unit, reason = recognised(len(found.videos), len(found.scores)) or ("rows", "")
        return found.own_truth(unit=unit), reason
    asked = parse_rows(rows, FRAMES)
    if asked.kind == "segments":
        raise UserError("--rows segments: needs the frames of every video; name the data set with --dataset")
    return found.own_truth(asked.stride, "snippets" if rows == "snippets" else "frames"), ""


def recognised(videos: int, rows: int) -> tuple[str, str] | None:
    """Return (unit, reason) where a built-in test set has as many videos, and frames or snippets that fit the rows.

    The last snippet of a video may be a part, there or not, so that the snippets of a test set may be fewer or more
    than its frames say by one for each video. None where no card fits, or some say frames and others snippets.
    """
    found: dict[str, list[str]] = {}
    for name in card_names():
        try:
            card = find_card(name)
        except UserError:  # a damaged card is the business of those who use it
            continue
        unit = _unit(card, rows) if card.splits["test"].videos == videos else ""
        if unit:
            found.setdefault(unit, []).append(name)
    if len(found) != 1:
        return None
    ((unit, names),) = found.items()
    several = f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'}"
    return unit, f"rows are taken for {unit}: {several} {videos} test videos and about as many; --rows says otherwise"


def _unit(card: DatasetCard, rows: int) -> str:
    """What a test set of `card` with so many rows is a row by: "" if it cannot be one."""
    stride = card.alignment.stride if card.alignment.kind == "stride" else Alignment(kind="stride").stride
    totals = {total for total in (card.protocol.frames, *(v.frames for v in card.protocol.variants.values())) if total}
    if rows in totals:
        return "frames"
    slack = stride * card.splits["test"].videos
    return "snippets" if any(abs(rows * stride - total) < slack for total in totals) else ""
