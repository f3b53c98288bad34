"""Snippets as points on a plane. Labels only colour the points: their places do not know them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.drawing.canvas import Canvas, width_of
from harness.drawing.scores import COLOURS
from harness.drawing.snippets import Floats, Snippets
from harness.errors import UserError
from harness.records.truth import GroundTruth

_SIZE, _MARGIN = 300.0, 8.0
# More classes than that are rare; the first seven are those of lines.
_CLASSES = (*COLOURS, "#4b2e83", "#7a0019", "#00441b", "#e7298a", "#fdb863", "#1b1b1b", "#66c2a5")
_GREY, _PALE = "#b9c0c7", "#f0c7a8"
# t-SNE takes the first so many components, as its authors do.
_COMPONENTS = 50


def on_a_plane(rows: Floats, how: Literal["tsne", "pca"], seed: int = 0) -> Floats:
    """Return a place `[N, 2]` for each row, by t-SNE or by the first two principal components."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(rows) < 4:
        raise UserError(f"a map takes at least four snippets; there are {len(rows)}")
    if how == "pca":
        return np.asarray(PCA(2, random_state=seed).fit_transform(rows), dtype=np.float32)
    few = PCA(min(_COMPONENTS, *rows.shape), random_state=seed).fit_transform(rows)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    return np.asarray(
        TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(few), dtype=np.float32
    )


def draw_map(
    snippets: Snippets, places: Floats, truth: GroundTruth, colour: Literal["truth", "class"], how: str
) -> Canvas:
    """Return the map with its key: snippets in events, in the rest of abnormal videos, and in normal ones."""
    marks = _marks(snippets, truth)
    names = ["normal video", "abnormal video, no event"]
    names += ["event"] if colour == "truth" else sorted({mark for mark in marks if mark not in names})
    colours = dict(zip(names, (_GREY, _PALE, *(_CLASSES * (1 + len(names) // len(_CLASSES)))), strict=False))
    lines = -(-len(names) // 3)
    canvas = Canvas(_SIZE, _SIZE + 14 + 13 * lines)
    low, span = places.min(axis=0), float(np.ptp(places, axis=0).max()) or 1.0
    shown = [mark if mark in names else "event" for mark in marks]
    # Events last, so that they lie on top.
    for name in names:
        for (x, y), mark in zip((places - low) / span, shown, strict=True):
            if mark == name:
                room = _SIZE - 2 * _MARGIN
                canvas.dot(_MARGIN + float(x) * room, _SIZE - _MARGIN - float(y) * room, 1.3, colours[name])
    canvas.words(_MARGIN, _SIZE + 8, f"{len(marks):,} snippets, {snippets.what}, {how}", size=7)
    for at, name in enumerate(names):
        x, y = _MARGIN + (at % 3) * 98, _SIZE + 20 + 13 * (at // 3)
        canvas.dot(x + 2, y - 2.5, 2.2, colours[name])
        canvas.words(x + 8, y, _fitting(name, 88), size=7)
    return canvas


def _marks(snippets: Snippets, truth: GroundTruth) -> list[str]:
    """The class of the event that each snippet lies in, or what its video is."""
    edges = {
        video: truth.alignment.edges(count, truth.videos[video].frames)
        for video, count in snippets.counts.items()
        if video in truth.videos
    }
    found = []
    for video, number in zip(snippets.videos, snippets.numbers.tolist(), strict=True):
        own = truth.videos.get(video)
        if own is None or not own.abnormal:
            found.append("normal video")
            continue
        start, end = edges[video][number], edges[video][number + 1]
        inside = [event for event in own.events if event.start < end and event.end > start]
        found.append(truth.classes[inside[0].label] if inside else "abnormal video, no event")
    return found


def _fitting(text: str, width: float) -> str:
    while width_of(text, 7) > width:
        text = text[:-2] + "."
    return text
