"""Snippets of a test set as points on a plane, by their features or by what a trained method makes of them.

Labels only colour the points: neither the choice of snippets nor their places know them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.drawing.canvas import Canvas, width_of
from harness.drawing.scores import COLOURS
from harness.errors import UserError
from harness.plugin.method import Method
from harness.records.truth import GroundTruth

Floats = NDArray[np.float32]
_SIZE, _MARGIN = 300.0, 8.0
# More classes than that are rare; the first seven are those of lines.
_CLASSES = (*COLOURS, "#4b2e83", "#7a0019", "#00441b", "#e7298a", "#fdb863", "#1b1b1b", "#66c2a5")
_GREY, _PALE = "#b9c0c7", "#f0c7a8"
# t-SNE takes the first so many components, as its authors do.
_COMPONENTS = 50


@dataclass(frozen=True, eq=False)
class Snippets:
    """Rows `[N, D]`, which snippet each is (video, number within it), and in words what the rows are."""

    rows: Floats
    videos: tuple[str, ...]
    numbers: NDArray[np.int64]
    what: str


def given_snippets(split: Split, most: int, seed: int = 0) -> Snippets:
    """Return features of at most `most` snippets of a test split, drawn at random; of videos with crops the first."""
    first: dict[str, int] = {}
    for index, item in enumerate(split.items):
        first.setdefault(item.video, index)
    pairs = [(video, index, at) for video, index in first.items() for at in range(split.items[index].snippets)]
    chosen = _drawn(len(pairs), most, seed)
    rows = np.stack([split.item_features(pairs[n][1], pairs[n][2], pairs[n][2] + 1)[0] for n in chosen])
    numbers = np.array([pairs[n][2] for n in chosen], dtype=np.int64)
    return Snippets(rows.astype(np.float32), tuple(pairs[n][0] for n in chosen), numbers, f"{rows.shape[1]}-d features")


def learned_snippets(method: Method, split: Split, most: int, seed: int = 0) -> Snippets:
    """Return the same snippets as `given_snippets`, as the method's last layer with a row per snippet gets them.

    Raises:
        UserError: the method has no such layer.
    """
    given = given_snippets(split, most, seed)
    wanted: dict[str, list[int]] = {}
    for place, video in enumerate(given.videos):
        wanted.setdefault(video, []).append(place)
    first: dict[str, int] = {}
    for index, item in enumerate(split.items):
        first.setdefault(item.video, index)
    seen: list[dict[str, tuple[list[int], Floats]]] = []
    for video, places in wanted.items():
        layers = _layers(method, split.item_features(first[video], 0, split.items[first[video]].snippets))
        seen.append({name: (places, rows[given.numbers[places]]) for name, rows in layers.items()})
    shared = [name for name in seen[0] if all(name in each for each in seen)] if seen else []
    if not shared:
        raise UserError(f"{method.card.name}: has no layer with one row per snippet; leave out --learned")
    name = shared[-1]
    rows = np.zeros((len(given.videos), seen[0][name][1].shape[1]), dtype=np.float32)
    for each in seen:
        places, values = each[name]
        rows[places] = values
    return Snippets(rows, given.videos, given.numbers, f"{rows.shape[1]}-d input of {name}")


def _layers(method: Method, features: NDArray[Any]) -> dict[str, Floats]:
    """What each layer of linear or convolution got last for a video `[T, D]`, `[T, C]`, in the order of the calls."""
    import torch

    from harness.plugin import contract

    window = contract.reading(method).window
    parts: list[dict[str, Floats]] = []
    method.eval()
    for begin in range(0, len(features), window or len(features)):
        piece = features[begin : begin + (window or len(features))]
        padded = np.zeros((1, window or len(piece), features.shape[1]), dtype=np.float32)
        padded[0, : len(piece)] = piece
        with torch.inference_mode(), _listening(method, padded.shape[1]) as heard:
            contract.prediction(method, torch.from_numpy(padded), torch.tensor([len(piece)]))
        parts.append({name: rows[: len(piece)] for name, rows in heard.items()})
    return {name: np.concatenate([each[name] for each in parts]) for name in parts[0] if all(name in p for p in parts)}


@contextmanager
def _listening(method: Method, length: int) -> Iterator[dict[str, Floats]]:
    """Yield what layers get, `[T, C]`, where it has one row for each of `length` snippets."""
    import torch

    heard: dict[str, Floats] = {}

    def listen(name: str, layer: Any, inputs: tuple[Any, ...]) -> None:
        if not inputs or not torch.is_tensor(inputs[0]):
            return
        given = inputs[0].detach().float()
        if isinstance(layer, torch.nn.Conv1d) and given.dim() == 3:
            given = given.transpose(1, 2)
        rows = given.reshape(-1, given.shape[-1])
        heard.pop(name, None)
        if rows.shape[0] == length and rows.shape[1] > 1:
            heard[name] = rows.cpu().numpy()

    def hook(name: str) -> Any:
        return lambda layer, inputs: listen(name, layer, inputs)

    layers = {n: m for n, m in method.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv1d)}
    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items() if not _of_text(name)]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


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
    marks = [_mark(video, int(number), truth) for video, number in zip(snippets.videos, snippets.numbers, strict=True)]
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


def _mark(video: str, number: int, truth: GroundTruth) -> str:
    own = truth.videos.get(video)
    if own is None or not own.abnormal:
        return "normal video"
    edges = truth.alignment.edges(number + 1, own.frames) if truth.alignment.kind == "stride" else None
    start, end = (edges[number], edges[number + 1]) if edges is not None else (0, 0)
    inside = [event for event in own.events if event.start < end and event.end > start]
    return truth.classes[inside[0].label] if inside else "abnormal video, no event"


def _of_text(name: str) -> bool:
    """Return whether a layer belongs to the frozen text tower."""
    return name == "text" or name.startswith("text.")


def _fitting(text: str, width: float) -> str:
    while width_of(text, 7) > width:
        text = text[:-2] + "."
    return text


def _drawn(count: int, most: int, seed: int) -> NDArray[np.int64]:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
