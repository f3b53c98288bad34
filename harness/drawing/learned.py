"""What a trained method makes of snippets: the rows that its last layer gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.drawing.snippets import Floats, Snippets, first_items, given_snippets
from harness.errors import UserError
from harness.plugin.method import Method


def learned_snippets(method: Method, split: Split, most: int, seed: int = 0) -> Snippets:
    """Return the same snippets as `given_snippets`, as the method's last layer with a row per snippet gets them.

    Raises:
        UserError: the method has no such layer.
    """
    given = given_snippets(split, most, seed)
    wanted: dict[str, list[int]] = {}
    for place, video in enumerate(given.videos):
        wanted.setdefault(video, []).append(place)
    first = first_items(split)
    seen: list[dict[str, tuple[list[int], Floats]]] = []
    for video, places in wanted.items():
        layers = _layers(method, split.item_features(first[video], 0, given.counts[video]))
        seen.append({name: (places, rows[given.numbers[places]]) for name, rows in layers.items()})
    shared = [name for name in seen[0] if all(name in each for each in seen)] if seen else []
    if not shared:
        raise UserError(f"{method.card.name}: has no layer with one row per snippet; leave out --learned")
    name = shared[-1]
    rows = np.zeros((len(given.videos), seen[0][name][1].shape[1]), dtype=np.float32)
    for each in seen:
        places, values = each[name]
        rows[places] = values
    return replace(given, rows=rows, what=f"{rows.shape[1]}-d input of {name}")


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


def _of_text(name: str) -> bool:
    """Return whether a layer belongs to the frozen text tower."""
    return name == "text" or name.startswith("text.")
