"""Glances: the frames at which an annotator clicked on the events of abnormal training videos, from a csv file.

More supervision than a video's label and less than an event's bounds (GlanceVAD, arXiv 2403.06154): a frame or more of
each abnormal training video. Only methods of the track "glance" ever see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.card import DatasetCard
from harness.data.lists import find_input, frame_number, read_table
from harness.data.spelling import listed_as, video_of
from harness.errors import UserError


@dataclass(frozen=True)
class Glances:
    """Clicked frames `of` each training video, in order and none twice, and what deserves a look, a line each."""

    of: Mapping[str, tuple[int, ...]]
    warnings: tuple[str, ...] = ()


def read_glances(
    card: DatasetCard, root: Path, labels: Mapping[str, tuple[int, ...]], snippets: Mapping[str, int]
) -> Glances | None:
    """Return the glances under `root`; None where the card names no file of them, or the file is not there.

    `labels` are the classes of every training video, `snippets` the lengths of those that are imported. A glance in a
    video of no training list is not used.

    Raises:
        UserError: a line cannot be read, a frame is negative, or a normal video has a glance.
    """
    if card.glances is None:
        return None
    try:
        path = find_input(root, card.glances.path)
    except UserError:
        return None
    found: dict[str, set[int]] = {}
    unlisted: dict[str, None] = {}
    for where, row in read_table(path, ("video-id", "glance")):
        frame = frame_number(where, row["glance"])
        if frame < 0:
            raise UserError(f"{where}: glance {frame} is no frame; frames count from 0")
        video = listed_as(video_of(row["video-id"]), labels)
        if video is None:
            unlisted[row["video-id"]] = None
        elif 0 in labels[video]:
            raise UserError(f"{where}: {video} is normal in the training list; glances are of abnormal videos")
        else:
            found.setdefault(video, set()).add(frame)
    of = {video: tuple(sorted(frames)) for video, frames in found.items() if snippets.get(video)}
    none = [video for video, own in labels.items() if 0 not in own and snippets.get(video) and video not in of]
    stride = card.alignment.stride
    late = [f"{frames[-1]} in {video}" for video, frames in of.items() if frames[-1] >= stride * snippets[video]]
    at_once = [video for video, frames in of.items() if frames[0] == 0]
    told = (
        (list(unlisted), "with glances not in the training list and not used, such as {}"),
        (none, "of the training list, abnormal, without a glance, such as {}"),
        (late, "with a glance beyond its last snippet, for which it counts, such as {}"),
        (at_once, "whose first glance is frame 0, which switches its glances off as published, such as {}"),
    )
    return Glances(of, tuple(f"{path}: {_count(each)} {what.format(each[0])}" for each, what in told if each))


def _count(videos: list[str]) -> str:
    return "1 video" if len(videos) == 1 else f"{len(videos):,} videos"
