"""Features of our own making for every file of a community list: as many files as the real data set has."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from harness.data.annotations import read_annotations
from harness.data.card import DatasetCard
from harness.data.lists import read_list
from harness.data.sources import labels_of
from tests.data.community import listed_videos

FEATURES = "clip-vit-b16"


def generate(card: DatasetCard, lists: Path, root: Path, mean: float) -> int:
    """Write every file of both lists, as the card's paths have them; returns the bytes of the features.

    Training videos have `mean` snippets on average, spread as widely as the real ones. A test video is as long as its
    last event needs: annotations are not scaled.
    """
    assert card.annotations is not None
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4096, 512)).astype(np.float32)
    spec = card.features[FEATURES]
    shutil.copy(lists / card.annotations.path, root)
    labels = {}
    for split in ("train", "test"):
        shutil.copy(lists / card.splits[split].list, root)
        for listed in read_list(lists / card.splits[split].list):
            video = listed.name.rpartition("__")[0]
            labels[video] = labels_of(card, listed, video)
    events = {
        video: max((event.end for event in annotation.events), default=0)
        for video, annotation in read_annotations(card, root / card.annotations.path, labels).of.items()
    }
    tested = set(listed_videos(lists / card.splits["test"].list))
    lengths = {
        video: events.get(video, 0) // 16 + 20 if video in tested else 1 + int(rng.exponential(mean))
        for video in labels
    }
    total = 0
    for split in ("train", "test"):
        for listed in read_list(lists / card.splits[split].list):
            file = root / "/".join(listed.path.split("/")[-2:])
            file.parent.mkdir(exist_ok=True)
            length = lengths[listed.name.rpartition("__")[0]]
            start = int(rng.integers(0, 2048))
            np.save(file, np.resize(noise[start:], (length, spec.dim)))
            total += length * spec.dim * 4
    return total
