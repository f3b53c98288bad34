"""Small data sets on disk that look like the community's: lists with other people's paths, crops, annotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.importers import ImportReport, import_features

DIM = 4


def quiet(done: int, total: int) -> None:
    """A progress callback that shows nothing."""


@dataclass
class Tree:
    """A directory with lists, annotations and features, and the card that describes it."""

    root: Path
    card: DatasetCard

    def change(self, **fields: Any) -> None:
        """Replace fields of the card; the result is validated as if it were read from a file."""
        self.card = DatasetCard.model_validate({**self.card.model_dump(), **fields})

    def array(self, path: str, value: NDArray[Any] | list[list[float]]) -> None:
        """Write an array below the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.asarray(value))

    def text(self, name: str, *lines: str) -> None:
        """Write a text file below the root."""
        (self.root / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text in a file that must contain it."""
        path = self.root / name
        content = path.read_text(encoding="utf-8")
        assert old in content
        path.write_text(content.replace(old, new, 1), encoding="utf-8")

    def write_card(self) -> str:
        """Write the card beside the root, as YAML; returns its path."""
        path = self.root.parent / f"{self.card.name}.yaml"
        path.write_text(yaml.safe_dump(self.card.model_dump(mode="json")), encoding="utf-8")
        return str(path)

    def load(self) -> ImportReport:
        """Import the tree."""
        return import_features(self.card, None, self.root, quiet)


def features(length: int, seed: int, dtype: str = "float32") -> NDArray[Any]:
    """Features `[length, DIM]`."""
    return np.random.default_rng(seed).standard_normal((length, DIM)).astype(dtype)


def ucf_tree(root: Path) -> Tree:
    """VadCLIP's layout: two of ten crops in training, crop 5 in test, absolute paths of another machine."""
    card = {
        "name": "small-ucf",
        "title": "Small UCF",
        "classes": [{"name": name, "prompt": name.lower()} for name in ("Normal", "Abuse", "Arrest")],
        "splits": {
            "train": {"list": "train.csv", "videos": 3, "classes": {"Normal": 1, "Abuse": 1, "Arrest": 1}},
            "test": {"list": "test.csv", "videos": 3, "classes": {"Normal": 1, "Abuse": 1, "Arrest": 1}},
        },
        "alignment": {"kind": "stride", "stride": 16},
        "annotations": {"format": "ucf", "path": "annotations.txt"},
        "features": {"clip": {"dim": DIM, "crops": 10, "crop_suffix": True}},
        "licence": "none",
        "source": "made up",
    }
    root.mkdir(parents=True)
    tree = Tree(root, DatasetCard.model_validate(card))
    train = ["Normal/Normal_Videos001_x264", "Abuse/Abuse001_x264", "Arrest/Arrest002_x264"]
    test = ["Normal/Normal_Videos_003_x264", "Abuse/Abuse028_x264", "Arrest/Arrest001_x264"]
    for split, videos, crops in (("train", train, (0, 1)), ("test", test, (5,))):
        rows = []
        for number, video in enumerate(videos):
            for crop in crops:
                path = f"UCFClipFeatures/{video}__{crop}.npy"
                rows.append(f"/home/someone/Desktop/{path},{video.split('/')[0]}")
                tree.array(path, features(5 + number, 10 * number + crop))
        tree.text(f"{split}.csv", "path,label", *rows)
    tree.text(
        "annotations.txt",
        "Abuse028_x264.mp4  Abuse  16  40  -1  -1  ",
        "Arrest001_x264  Arrest  8  20  50  90  ",
        "Normal_Videos_003_x264  Normal  -1  -1  -1  -1  ",
    )
    return tree


def mask_tree(root: Path) -> Tree:
    """ShanghaiTech's layout: relative paths, frame counts, one 0/1 vector per abnormal video."""
    card = {
        "name": "small-masks",
        "title": "Small masks",
        "classes": [{"name": "Normal", "prompt": "normal"}, {"name": "Anomaly", "prompt": "anomaly"}],
        "splits": {"train": {"list": "train.csv", "videos": 2}, "test": {"list": "test.csv", "videos": 2}},
        "alignment": {"kind": "stride", "stride": 16},
        "frame_counts": "frames.csv",
        "annotations": {"format": "frame-masks", "path": "masks"},
        "features": {"tracks": {"dim": DIM, "dtype": "float16"}},
        "licence": "none",
        "source": "made up",
    }
    root.mkdir(parents=True)
    tree = Tree(root, DatasetCard.model_validate(card))
    videos = {"01_001": ("train", 40), "01_0014": ("train", 33), "02_002": ("test", 48), "02_0015": ("test", 50)}
    for number, (video, (_, frames)) in enumerate(videos.items()):
        tree.array(f"features/{video}.npy", features(-(-frames // 16), number, "float16"))
    for split in ("train", "test"):
        names = [video for video, (where, _) in videos.items() if where == split]
        rows = [f"features/{n}.npy,{'Anomaly' if len(n) == 7 else 'Normal'}" for n in names]
        tree.text(f"{split}.csv", "path,label", *rows)
    tree.text("frames.csv", "video,frames", *(f"{video},{frames}" for video, (_, frames) in videos.items()))
    for video in ("01_0014", "02_0015"):
        mask = np.zeros(videos[video][1], dtype=np.uint8)
        mask[3:10], mask[30:] = 1, 1
        tree.array(f"masks/{video}.npy", mask)
    return tree


def content(bank: Bank) -> dict[str, bytes]:
    """Every byte of a bank, by file name."""
    return {path.name: path.read_bytes() for path in sorted(bank.path.iterdir())}
