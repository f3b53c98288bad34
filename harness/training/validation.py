"""Which training videos the selection rule `val` holds back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Split
from harness.training.seeds import derive


def validation_items(split: Split, seed: int, dataset: str, part: float = 0.15) -> NDArray[np.bool_]:
    """Return which items `[items]` belong to the validation part: `part` of the videos of every label combination.

    At least one video of each kind with two or more; all crops of a video go together. The part depends on
    (seed, data set) alone.
    """
    first = {item.video: item.labels for item in reversed(split.items)}
    by_label: dict[tuple[int, ...], list[str]] = {}
    for video in sorted(first):
        by_label.setdefault(first[video], []).append(video)
    chosen: set[str] = set()
    for labels, videos in sorted(by_label.items()):
        generator = np.random.default_rng(derive(seed, dataset, "validation", *labels))
        count = max(1, round(part * len(videos))) if len(videos) > 1 else 0
        chosen.update(videos[i] for i in generator.permutation(len(videos))[:count])
    return np.array([item.video in chosen for item in split.items])
