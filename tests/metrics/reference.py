"""Plain per-frame references and small test sets; slow, and written from the definitions alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

STRIDE = Alignment(kind="stride")
SEGMENTS = Alignment(kind="segments")


def scene(
    videos: dict[str, tuple[VideoTruth, Any]],
    classes: Sequence[str] = ("normal", "crime"),
    alignment: Alignment = STRIDE,
    **options: Any,
) -> tuple[Predictions, GroundTruth]:
    """Predictions and ground truth of videos given as (truth, scores [T] or class scores [T, K])."""
    tables = [np.asarray(values, dtype=np.float32) for _, values in videos.values()]
    probs = np.concatenate(tables) if tables[0].ndim == 2 else None
    predictions = Predictions(
        videos=tuple(videos),
        offsets=np.cumsum([0] + [len(table) for table in tables]),
        scores=np.concatenate(tables) if probs is None else 1 - probs[:, 0],
        alignment=alignment,
        classes=tuple(classes),
        class_probs=probs,
    )
    truth = {name: video for name, (video, _) in videos.items()}
    return predictions, GroundTruth("toy", tuple(classes), alignment, truth, **options)


def abnormal(frames: int, *events: tuple[int, int, int]) -> VideoTruth:
    """A video with events (start, end, class)."""
    return VideoTruth(frames, tuple(sorted({label for *_, label in events} or {1})), tuple(Event(*e) for e in events))


def normal(frames: int) -> VideoTruth:
    """A video without events."""
    return VideoTruth(frames, (0,))


def random_set(seed: int, classes: int = 4, alignment: Alignment = STRIDE, levels: int = 6, **options: Any) -> Any:
    """A random test set with coarse (hence tied) class scores, partial last snippets and overlapping events."""
    random = np.random.default_rng(seed)
    videos = {}
    for index in range(int(random.integers(4, 9))):
        snippets = int(random.integers(1, 30))
        low = (snippets - 1) * 16 + 1
        frames = int(random.integers(low, low + 16)) if alignment is STRIDE else int(random.integers(20, 400))
        events = [
            (start := int(random.integers(0, frames)), start + int(random.integers(1, 200)), int(label))
            for label in random.integers(1, classes, size=random.integers(1, 4))
        ]
        video = abnormal(frames, *events) if index % 3 else normal(frames)
        videos[f"v{index}"] = (video, random.integers(0, levels, (snippets, classes)) / levels)
    return scene(videos, [f"c{k}" for k in range(classes)], alignment, **options)


def owners(predictions: Predictions, truth: GroundTruth, name: str) -> list[int]:
    """For every scored frame of a video, in order, the row of its snippet; by the definition of the alignments."""
    rows = predictions.rows(predictions.videos.index(name))
    count, frames = rows.stop - rows.start, truth.videos[name].frames
    if truth.alignment.kind == "segments":
        return [rows.start + frame * count // frames for frame in range(frames)] if count else []
    result = []
    for snippet in range(count):
        begin, end = snippet * truth.alignment.stride, (snippet + 1) * truth.alignment.stride
        result += [rows.start + snippet] * len(range(begin, min(end, frames)))
    return result


def expanded(predictions: Predictions, truth: GroundTruth, keep: Sequence[str] | None = None) -> Any:
    """Frame labels and frame scores of the test set (or of the videos `keep`), pooled."""
    labels, scores = [], []
    for name, video in truth.videos.items():
        if keep is None or name in keep:
            rows = owners(predictions, truth, name)
            scores += predictions.scores[rows].tolist()
            labels += [any(e.start <= frame < e.end for e in video.events) for frame in range(len(rows))]
    return np.array(labels, dtype=int), np.array(scores)


def reference_map(predictions: Predictions, truth: GroundTruth, strict: bool) -> list[float] | None:
    """mAP at IoU 0.1 .. 0.5, frame by frame: the field's (`truth.map_variant`) or the corrected one."""
    found: dict[int, list[tuple[np.float32, str, int, int]]] = {c: [] for c in range(len(truth.classes))}
    known: dict[int, list[tuple[str, int, int]]] = {c: [] for c in found}
    for name, video in truth.videos.items():
        if video.abnormal:
            for event in video.events:
                known[event.label].append((name, event.start, event.end))
        elif truth.map_variant == "xd" and not strict:
            known[0].append((name, 0, video.frames))
        rows = owners(predictions, truth, name)
        for label in found if rows else ():
            for score, start, end in track_detections(predictions.class_probs[rows, label]):  # type: ignore[index]
                found[label].append((score, name, start, end))
    if not strict and not all(found.values()):
        return [0.0] * 5
    kept = [c for c in found if not strict or (c > 0 and known[c])]
    if not kept:
        return None
    return [
        float(np.mean([precision(found[c], known[c], threshold, strict) for c in kept]))
        for threshold in (0.1, 0.2, 0.3, 0.4, 0.5)
    ]


def track_detections(track: Any) -> list[tuple[np.float32, int, int]]:
    """(score, start, end) of the runs of one class track, a float32 score per frame."""
    count = max(len(track) // 16, 1)
    top = np.float32(0)
    for value in sorted(track, reverse=True)[:count]:
        top = np.float32(top + value)
    top = np.float32(top / np.float32(count))
    if top <= 0:
        return []
    level = np.float32(max(track) - np.float32(0.6) * np.float32(max(track) - min(track)))
    runs, start = [], None
    for frame in range(len(track) + 1):
        above = frame < len(track) and track[frame] > level
        if above and start is None:
            start = frame
        elif not above and start is not None:
            if frame - start >= 2:
                runs.append((np.float32(max(track[start:frame]) + np.float32(0.7) * top), start, frame))
            start = None
    return runs


def precision(found: list[Any], known: list[tuple[str, int, int]], threshold: float, envelope: bool) -> float:
    """Average precision of one class."""
    free, hits = list(known), []
    for _, name, start, end in sorted(found, key=lambda detection: -detection[0]):
        best, place = 0.0, -1
        for index, (video, begin, finish) in enumerate(free):
            if video == name:
                one, two = set(range(start, end)), set(range(begin, finish))
                iou = len(one & two) / len(one | two)
                if iou >= threshold and iou > best:
                    best, place = iou, index
        hits.append(place >= 0)
        if place >= 0:
            free.pop(place)
    precisions = [count / rank for rank, count in enumerate(accumulate(hits), start=1)]
    if envelope:
        precisions = list(accumulate(reversed(precisions), max))[::-1]
    return sum(p for p, hit in zip(precisions, hits, strict=True) if hit) / len(known) if known else 0.0
