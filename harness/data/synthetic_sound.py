"""What is heard in the videos of the `demo` data set, like features of sound: drawn from a fixed seed, as the pictures.

A hum goes through every video, and bangs in any of them mean nothing. Three of four events are heard: some of all
classes' uproar and their own class's sound, for a part of the time that is annotated; the rest can only be seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.records.truth import Event

BANGS = 8
AUDIBLE = 0.75

Array = NDArray[np.float64]


class Sound:
    """The directions of all that can be heard, in D channels."""

    def __init__(self, classes: int, dim: int, seed: int) -> None:
        rng = np.random.default_rng([seed, dim])
        self._seed, self._dim = seed, dim
        uproar = _unit(rng.standard_normal(dim))
        self._hum = _unit(rng.standard_normal(dim))
        self._classes = _unit(_unit(rng.standard_normal((classes, dim))) + 0.6 * uproar)
        self._bangs = _unit(_unit(rng.standard_normal((BANGS, dim))) + 0.3 * uproar)

    def rows(self, video: str, length: int, events: Sequence[Event], stride: int) -> NDArray[np.float16]:
        """Return a video's rows `[T, D]` of unit norm; its events are in frames, `stride` of them in a row."""
        rng = np.random.default_rng([self._seed, zlib.crc32(video.encode())])
        drift = np.cumsum(rng.standard_normal((length, 4)) * 0.06, axis=0)
        heard: Array = 0.4 * self._hum + drift @ _unit(rng.standard_normal((4, self._dim)))
        for _ in range(int(rng.poisson(1.2))):
            start, size = int(rng.integers(length)), max(1, round(rng.uniform(0.03, 0.15) * length))
            heard[start : start + size] += rng.uniform(0.2, 0.6) * self._bangs[rng.integers(BANGS)]
        for event in events:
            first, last = event.start // stride, -(-event.end // stride)
            start = first + int(rng.uniform(0, 0.3) * (last - first))
            if rng.random() < AUDIBLE:
                heard[start:last] += rng.uniform(0.3, 0.9) * self._classes[event.label]
        heard += 0.6 * rng.standard_normal((length, self._dim)) / np.sqrt(self._dim)
        return _unit(heard).astype(np.float16)


def _unit(rows: Any) -> Array:
    unit: Array = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit
