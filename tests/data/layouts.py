"""Trees for the built-in cards, with a few videos of the real lists and narrow features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import find_card
from tests.data.trees import Tree

WIDTH = 3
STALE = "/home/someone/My Disk/features"
UCF_TRAIN = ["Abuse001_x264", "Normal_Videos001_x264"]
UCF_TEST = ["Abuse028_x264", "Normal_Videos_003_x264"]
XD_TRAIN = ["v=8cTqh9tMz_I__#1_label_A", "Bad.Boys.1995__#00-26-51_00-27-53_label_B2-0-0"]
XD_TEST = ["Bad.Boys.1995__#01-11-55_01-12-40_label_G-B2-B6", "A.Beautiful.Mind.2001__#00-25-20_00-29-20_label_A"]


def array(name: str, length: int = 5, *shape: int) -> NDArray[np.float32]:
    """Features `[length, *shape]` that depend on the name alone; `shape` is WIDTH unless given."""
    rng = np.random.default_rng(list(name.encode()))
    return rng.standard_normal((length, *(shape or (WIDTH,)))).astype(np.float32)


def small(name: str, features: str, root: Path, train: dict[str, int], test: dict[str, int], **fields: Any) -> Tree:
    """A tree for a built-in card whose counts are those of a few videos and whose features are narrow."""
    content = find_card(name).model_dump(mode="json")
    audio = {"dim": WIDTH + 1, "audio_dim": 1} if content["features"][features]["audio"] else {"dim": WIDTH}
    content["features"] = {features: content["features"][features] | audio | fields}
    for split, classes in (("train", train), ("test", test)):
        videos = sum(classes.values()) if content["label_syntax"] == "class" else 2
        content["splits"][split] |= {"videos": videos, "classes": classes}
    content["protocol"] |= {"frames": 0, "positives": 0}
    for variant in content["protocol"]["variants"].values():
        variant |= {"frames": 0, "positives": 0}
    root.mkdir(parents=True, exist_ok=True)
    return Tree(root, DatasetCard.model_validate(content))


def items(bank: Bank, split: Any) -> list[tuple[str, int, tuple[int, ...]]]:
    """Video, crop and labels of each item."""
    return [(item.video, item.crop, item.labels) for item in bank.split(split).items]
