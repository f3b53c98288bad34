"""Temporal annotations as the field publishes them, brought to half-open frame intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.arrays import read_array
from harness.data.card import DatasetCard
from harness.data.lists import read_text
from harness.errors import UserError
from harness.truth import Event


@dataclass(frozen=True)
class Annotation:
    """Events of one video, where they stand (`file:line`), and the video's frames if the annotation says so."""

    where: str
    events: tuple[Event, ...]
    frames: int | None = None


def read_annotations(card: DatasetCard, path: Path, labels: Mapping[str, tuple[int, ...]]) -> dict[str, Annotation]:
    """Return the annotations by video; `labels` are the classes of every listed video.

    Raises:
        UserError: a line cannot be read, names an unknown video or class, or an interval is negative or reversed.
    """
    assert card.annotations is not None
    if card.annotations.format == "frame-masks":
        return _read_masks(path, labels)
    found: dict[str, Annotation] = {}
    for number, line in enumerate(read_text(path), start=1):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}:{number}"
        video = fields[0].removesuffix(".mp4")
        if video not in labels:
            raise UserError(f"{where}: video {video!r} is in no list of {card.name}")
        if video in found:
            raise UserError(f"{where}: video {video!r} is annotated twice, first at {found[video].where}")
        read = _read_ucf if card.annotations.format == "ucf" else _read_xd
        found[video] = read(card, where, fields[1:], labels[video])
    return found


def _read_ucf(card: DatasetCard, where: str, fields: list[str], labels: tuple[int, ...]) -> Annotation:
    if len(fields) < 3 or len(fields) % 2 == 0:
        raise UserError(f"{where}: expected `video class start end [start end]`, found {len(fields) + 1} fields")
    own = _class(card, where, fields[0])
    if own not in labels:
        listed = ", ".join(card.class_names[i] for i in labels)
        raise UserError(f"{where}: class {fields[0]!r} disagrees with the list, which says {listed}")
    events = _events(card, where, [(own, *fields[i : i + 2]) for i in range(1, len(fields), 2)])
    if events and own == 0:
        raise UserError(f"{where}: a normal video has an event, {fields[1]} {fields[2]}; expected -1 -1")
    return Annotation(where, events)


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
    for i in range(0, len(fields), size):
        own = _class(card, where, fields[i]) if coded else abnormal[0]
        triples.append((own, *fields[i + size - 2 : i + size]))
    return Annotation(where, _events(card, where, triples))


def _class(card: DatasetCard, where: str, word: str) -> int:
    try:
        (own,) = card.class_indices(word)
    except (UserError, ValueError) as error:
        raise UserError(f"{where}: class {word!r} is not in the card of {card.name}") from error
    return own


def _events(card: DatasetCard, where: str, triples: list[tuple[Any, ...]]) -> tuple[Event, ...]:
    """Turn (class index, start, end) as written into half-open events; -1 -1 is none."""
    first = 1 if card.annotations and card.annotations.interval == "one-based" else 0
    events = []
    for label, *bounds in triples:
        try:
            start, end = (int(bound) for bound in bounds)
        except ValueError as error:
            raise UserError(f"{where}: interval {' '.join(map(str, bounds))} is not two whole frame numbers") from error
        if (start, end) == (-1, -1):
            continue
        if start < 0 or end <= start - first:
            raise UserError(f"{where}: interval {start} {end} is negative, empty or reversed")
        events.append(Event(max(start - first, 0), end, int(label)))
    return tuple(events)


def _read_masks(directory: Path, labels: Mapping[str, tuple[int, ...]]) -> dict[str, Annotation]:
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
