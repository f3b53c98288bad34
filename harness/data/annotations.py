"""Temporal annotations as the field publishes them, brought to half-open frame intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.arrays import read_array
from harness.data.card import DatasetCard
from harness.data.lists import frame_number, read_table, read_text
from harness.data.spelling import composed, listed_as, split_line, video_of, without
from harness.errors import UserError
from harness.records.truth import Event

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


@dataclass(frozen=True)
class Annotations:
    """The annotations `of` each listed video, and the videos of the file that no list has (`unlisted`).

    Annotations of a whole data set go with the lists of a part of it, so unlisted videos are no error: whoever needs
    the annotation of a listed video finds out that it is not there.
    """

    path: Path | None = None
    of: Mapping[str, Annotation] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """A line that counts the unlisted videos, none where there are none."""
        if not self.unlisted:
            return []
        count = len(self.unlisted)
        what = "1 annotated video is" if count == 1 else f"{count:,} annotated videos are"
        return [f"{self.path}: {what} in no list and not used, such as {self.unlisted[0]}"]


def read_annotations(card: DatasetCard, path: Path, labels: Labels) -> Annotations:
    """Return the annotations in a file; `labels` are the classes of every listed video.

    Raises:
        UserError: a line cannot be read, names an unknown class, or an interval is negative or reversed.
    """
    assert card.annotations is not None
    rows = {"ucf": _read_ucf, "xd": _read_xd, "msad": _read_msad, "frame-masks": _read_mask}
    read = rows[card.annotations.format]
    found: dict[str, Annotation] = {}
    unlisted: dict[str, None] = {}
    for where, name, fields in _rows(card.annotations.format, path, labels):
        video = listed_as(name, labels)
        if video is None:
            unlisted[name] = None
            continue
        if video in found:
            raise UserError(f"{where}: video {video!r} is annotated twice, first at {found[video].where}")
        found[video] = read(card, where, fields, labels[video])
    return Annotations(path, found, tuple(unlisted))


def _rows(form: str, path: Path, labels: Labels) -> Iterator[tuple[str, str, list[str]]]:
    """Where each annotation stands, the video that it names, and its fields."""
    if form == "frame-masks":
        if not path.is_dir():
            raise UserError(f"{path}: expected a directory with one vector VIDEO.npy for each abnormal video")
        for file in sorted(path.iterdir()):
            if file.suffix.lower() == ".npy":
                yield str(file), composed(without(file.name, ".npy")), []
    elif form == "msad":
        columns = ("name", "total frames", "starting frame of anomaly", "ending frame of anomaly")
        for where, row in read_table(path, columns):
            name, *fields = row.values()
            yield where, video_of(name), fields
    else:
        for number, line in enumerate(read_text(path), start=1):
            if line.strip():
                name, fields = split_line(line, labels)
                yield f"{path}:{number}", name, fields


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


def _read_msad(card: DatasetCard, where: str, fields: list[str], labels: tuple[int, ...]) -> Annotation:
    frames, start, end = fields
    abnormal = [label for label in labels if label > 0]
    if not abnormal and (start, end) != ("-1", "-1"):
        raise UserError(f"{where}: a video listed as normal has an event, {start} {end}")
    events = _events(card, where, [(abnormal[0] if abnormal else 0, start, end)])
    return Annotation(where, events, _frames(where, frames))


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


def _read_mask(card: DatasetCard, where: str, fields: list[str], labels: tuple[int, ...]) -> Annotation:
    mask = read_array(Path(where))
    if mask.ndim != 1 or not np.isin(mask, (0, 1)).all():
        raise UserError(f"{where}: expected a vector of 0 and 1, one per frame, found shape {mask.shape}")
    abnormal = [label for label in labels if label > 0]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    if len(edges) and not abnormal:
        raise UserError(f"{where}: a video listed as normal has anomalous frames")
    events = tuple(Event(int(s), int(e), abnormal[0]) for s, e in zip(edges[::2], edges[1::2], strict=True))
    return Annotation(where, events, len(mask))
