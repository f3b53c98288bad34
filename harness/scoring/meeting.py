"""The videos of a prediction file meet those of a data set: whose ground truth is scored, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.data.annotated import read_annotated
from harness.data.card import DatasetCard
from harness.data.cards import imported_set, open_bank
from harness.data.video_names import match_videos
from harness.errors import UserError
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.scoring.files import ScoredFile


@dataclass(frozen=True)
class Meeting:
    """Ground truth of the videos that a file has scores of, and where in the file each is (`places`)."""

    truth: GroundTruth
    places: Mapping[str, int]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]


def meet_bank(
    found: ScoredFile | Predictions, card: DatasetCard, path: Path, features: str | None, partial: bool
) -> Meeting:
    """Return the ground truth as it was built when the data set was imported.

    `partial` allows a file that has other videos than the test videos.

    Raises:
        UserError: the data set was not imported, or the file has other videos.
    """
    features = features or imported_set(card)
    if features is None and card.annotations is not None and not card.feature_set(None)[1].generated:
        raise UserError(
            f"dataset {card.name} has not been imported; scoring needs no features: name the directory of its "
            f"annotation files ({_needed(card)}) with --root, or run `harness data import`"
        )
    bank = open_bank(card, features)
    whole = bank.truth()
    places, ignored = match_videos(card, found.videos, {*whole.videos, *whole.excluded}, str(path))
    without = [video for video in whole.excluded if places.pop(video, None) is not None]
    _check_videos(places, tuple(whole.videos), ignored, path, partial, card)
    warnings: tuple[str, ...] = ()
    if without:
        warnings = (
            f"scores of {len(without)} videos are not used: {card.name} was imported without features of them; "
            "--root with the annotation files scores all",
        )
    if "test" in bank.shares and not bank.shares["test"].whole:
        warnings += (f"{card.name} was imported from an incomplete data set: {bank.partial}",)
    left_out = tuple(video for video in whole.videos if video not in places)
    videos = {video: truth for video, truth in whole.videos.items() if video in places}
    truth = replace(whole, videos=videos, excluded=(*whole.excluded, *left_out))
    return Meeting(truth, places, tuple(ignored), warnings)


def meet_annotations(
    found: ScoredFile | Predictions,
    card: DatasetCard,
    path: Path,
    features: str | None,
    partial: bool,
    root: Path,
    given: Alignment | None,
) -> Meeting:
    """Return the ground truth of the annotation files below `root`; where nothing counts frames, the file's rows do.

    `given` is what its rows are, where that is said; `partial` as in `meet_bank`.

    Raises:
        UserError: the annotations cannot be read or do not fit, or the file has other videos.
    """
    annotated = read_annotated(card, features, root)
    places, ignored = match_videos(card, found.videos, annotated.videos, str(path))
    _check_videos(places, tuple(annotated.videos), ignored, path, partial, card)
    rows = lengths(found, places)
    snippets: Mapping[str, int | None] = dict.fromkeys(rows)
    if annotated.needs_snippets:
        if given is None and annotated.may_be_frames(rows):
            stride = card.alignment.stride
            raise UserError(
                f"{path}: its rows may be frames or snippets of {stride} frames, since all events lie within "
                f"either; say which with --rows frames or --rows {stride}"
            )
        snippets = _snippets(card, rows, given or card.alignment, path)
    truth, warnings = annotated.truth(snippets)
    return Meeting(truth, places, tuple(ignored), warnings)


def _needed(card: DatasetCard) -> str:
    """The files that scoring by annotations reads."""
    assert card.annotations is not None
    lists = [] if card.annotations.format == "ucf" else [card.splits["test"].list]
    return ", ".join(dict.fromkeys(filter(None, [card.annotations.path, card.frame_counts, *lists])))


def _check_videos(
    places: Mapping[str, int],
    videos: tuple[str, ...],
    ignored: list[str],
    path: Path,
    partial: bool,
    card: DatasetCard,
) -> None:
    """Raise UserError unless the file has exactly the test videos, or `--partial` allows others."""
    if not places:
        raise UserError(f"{path}: none of its videos, such as {ignored[0]!r}, is a test video of {card.name}")
    if partial:
        return
    missing = [video for video in videos if video not in places]
    if missing:
        raise UserError(
            f"{path}: {len(missing)} of the {len(videos)} test videos of {card.name} have no scores, such as "
            f"{missing[0]!r}; `harness score --partial` scores the others"
        )
    if ignored:
        raise UserError(
            f"{path}: {len(ignored)} videos are no test videos of {card.name}, such as {ignored[0]!r}; "
            "`harness score --partial` leaves them out"
        )


def lengths(found: ScoredFile | Predictions, places: Mapping[str, int]) -> dict[str, int]:
    """Return the number of rows of each video in `places`."""
    counts = np.diff(found.offsets)
    return {video: int(counts[place]) for video, place in places.items()}


def _snippets(card: DatasetCard, rows: Mapping[str, int], alignment: Alignment, path: Path) -> dict[str, int]:
    """Snippets of each video where they alone say how long it is."""
    stride = card.alignment.stride
    exact = [f"{card.base_name}@{name}" for name, other in card.protocol.variants.items() if other.rule == "exact"]
    others = f", or score against {exact[0]}" if exact else ""
    if alignment.kind == "segments":
        raise UserError(
            f"{path}: its rows are uniform segments, and the annotation files of {card.name} do not say how long a "
            f"video is; import the data set{others}"
        )
    for video, count in rows.items():
        frames = count * alignment.stride
        if frames % stride:
            raise UserError(
                f"{path}: {video} has {frames} frames; {card.name} counts whole snippets of {stride}, so cut the rest"
                f"{others}"
            )
    return {video: count * alignment.stride // stride for video, count in rows.items()}
