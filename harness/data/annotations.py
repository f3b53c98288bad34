"""Temporal annotations as the field publishes them, brought to half-open frame intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.arrays import read_array
from harness.data.card import DatasetCard
from harness.data.lists import frame_number, read_table, read_text
from harness.errors import UserError
from harness.truth import Event

Labels = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Annotation:
    """Events of one video, where they stand (`file:line`), and the video's frames if the annotation says so.

    `remark` says what is odd but in the published files.
    """

    where: str
    events: tuple[Event, ...]
    frames: int | None = None
    remark: str = ""


def read_annotations(card: DatasetCard, path: Path, labels: Labels) -> dict[str, Annotation]:
    """Return the annotations by video; `labels` are the classes of every listed video.

    Raises:
        UserError: a line cannot be read, names an unknown video or class, or an interval is negative or reversed.
    """
    assert card.annotations is not None
    if card.annotations.format == "frame-masks":
        return _read_masks(path, labels)
    if card.annotations.format == "msad":
        return _read_msad(card, path, labels)
    found: dict[str, Annotation] = {}
    for number, line in enumerate(read_text(path), start=1):
        fields = line.split()
        if fields:
            where = f"{path}:{number}"
            video = _video(card, where, fields[0], labels, found)
            read = _read_ucf if card.annotations.format == "ucf" else _read_xd
            found[video] = read(card, where, fields[1:], labels[video])
    return found


def _video(card: DatasetCard, where: str, path: str, labels: Labels, found: Mapping[str, Annotation]) -> str:
    """The listed video that an annotation means by `path`, which may have folders and an extension."""
    name = path.replace("\\", "/").rpartition("/")[2].removesuffix(".mp4")
    # UCF-Crime's files write Normal_Videos003 and Normal_Videos_003; no number is in both splits.
    spellings = name, name.replace("Videos_", "Videos"), name.replace("Videos", "Videos_")
    video = next((spelling for spelling in spellings if spelling in labels), name)
    if video not in labels:
        raise UserError(f"{where}: video {name!r} is in no list of {card.name}")
    if video in found:
        raise UserError(f"{where}: video {video!r} is annotated twice, first at {found[video].where}")
    return video


def _read_ucf(card: DatasetCard, where: str, fields: list[str], labels: tuple[int, ...]) -> Annotation:
    counted = len(fields) % 2 == 0
    if len(fields) < 3 + counted or (counted and not fields[0].isdecimal()):
        form = "video [frames] class start end [start end]"
        raise UserError(f"{where}: expected `{form}`, found {len(fields) + 1} fields")
    frames = _frames(where, fields[0]) if counted else None
    word, *bounds = fields[counted:]
    own = _class(card, where, word)
    if own not in labels:
        listed = ", ".join(card.class_names[i] for i in labels)
        raise UserError(f"{where}: class {word!r} disagrees with the list, which says {listed}")
    if own == 0 and bounds == ["0", str(frames)]:
        return Annotation(where, (), frames)  # UMIL's way to say that a whole video is normal
    events = _events(card, where, [(own, *bounds[i : i + 2]) for i in range(0, len(bounds), 2)])
    if events and own == 0:
        raise UserError(f"{where}: a normal video has an event, {bounds[0]} {bounds[1]}; expected -1 -1")
    return Annotation(where, events, frames)


def _read_xd(card: DatasetCard, where: str, fields: list[str], labels: tuple[int, ...]) -> Annotation:
    abnormal = [label for label in labels if label > 0]
    if not abnormal:
        raise UserError(f"{where}: a normal video is annotated")
    coded = bool(fields) and not fields[0].lstrip("-").isdigit()
    size = 3 if coded else 2
    if not fields or len(fields) % size:
        form = "[code start end] ..." if coded else "[start end] ..."
        raise UserError(f"{where}: expected `video {form}`, found {len(fields) + 1} fields")
    triples: list[tuple[Any, ...]] = []
    remark = ""
    for i in range(0, len(fields), size):
        own = _class(card, where, fields[i]) if coded else abnormal[0]
        if own == 0:
            raise UserError(f"{where}: an event of the normal class {fields[i]!r}")
        if own not in labels:
            listed = ", ".join(card.class_names[label] for label in labels)
            remark = f"an event of class {fields[i]} in a video that is listed as {listed}; kept as annotated"
        triples.append((own, *fields[i + size - 2 : i + size]))
    return Annotation(where, _events(card, where, triples), remark=remark)


def _read_msad(card: DatasetCard, path: Path, labels: Labels) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    columns = ("name", "total frames", "starting frame of anomaly", "ending frame of anomaly")
    for where, row in read_table(path, columns):
        name, frames, start, end = row.values()
        video = _video(card, where, name, labels, found)
        abnormal = [label for label in labels[video] if label > 0]
        if not abnormal and (start, end) != ("-1", "-1"):
            raise UserError(f"{where}: a video listed as normal has an event, {start} {end}")
        events = _events(card, where, [(abnormal[0] if abnormal else 0, start, end)])
        found[video] = Annotation(where, events, _frames(where, frames))
    return found


def _frames(where: str, word: str) -> int:
    frames = frame_number(where, word)
    if frames < 1:
        raise UserError(f"{where}: {word} frames; a video has at least one")
    return frames


def _class(card: DatasetCard, where: str, word: str) -> int:
    if word.isdecimal() and int(word) < len(card.classes):
        return int(word)
    try:
        (own,) = card.class_indices(word)
    except (UserError, ValueError) as error:
        raise UserError(f"{where}: class {word!r} is not in the card of {card.name}") from error
    return own


def _events(card: DatasetCard, where: str, triples: list[tuple[Any, ...]]) -> tuple[Event, ...]:
    """Turn (class index, start, end) as written into half-open events; -1 -1 is none."""
    interval = card.annotations.interval if card.annotations else "half-open"
    before, after = {"half-open": (0, 0), "one-based": (1, 0), "closed": (0, 1)}[interval]
    events: list[Event] = []
    for label, *bounds in triples:
        start, end = (frame_number(where, bound) for bound in bounds)
        if (start, end) == (-1, -1):
            continue
        if start < 0 or end <= start - before - after:
            raise UserError(f"{where}: interval {start} {end} is negative, empty or reversed")
        event = Event(max(start - before, 0), end + after, int(label))
        if event in events:
            raise UserError(f"{where}: interval {start} {end} stands there twice")
        events.append(event)
    return tuple(events)


def _read_masks(directory: Path, labels: Labels) -> dict[str, Annotation]:
    found = {}
    for path in sorted(directory.glob("*.npy")):
        if path.stem not in labels:
            raise UserError(f"{path}: video {path.stem!r} is in no list")
        mask = read_array(path)
        if mask.ndim != 1 or not np.isin(mask, (0, 1)).all():
            raise UserError(f"{path}: expected a vector of 0 and 1, one per frame, found shape {mask.shape}")
        abnormal = [label for label in labels[path.stem] if label > 0]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
        if len(edges) and not abnormal:
            raise UserError(f"{path}: a video listed as normal has anomalous frames")
        events = tuple(Event(int(s), int(e), abnormal[0]) for s, e in zip(edges[::2], edges[1::2], strict=True))
        found[path.stem] = Annotation(str(path), events, len(mask))
    return found
