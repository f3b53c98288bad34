"""Features without labels: an extraction, an imported bank, or files as the community shares them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.arrays import read_array
from harness.data.bank import SPLITS, Bank
from harness.errors import UserError
from harness.records.extraction import Recipe, VideoFacts
from harness.video.extraction import Extraction, is_extraction

_CROP = re.compile(r"(.+)__([0-9]{1,2})")


@dataclass(frozen=True)
class Video:
    """Features `[T, C, D]` of a video, and its facts where they are known."""

    name: str
    features: NDArray[Any]
    facts: VideoFacts | None = None


@dataclass(frozen=True)
class FeatureInput:
    """Where features are, and how they were made if that is known."""

    path: Path
    recipe: Recipe | None

    def videos(self) -> Iterator[Video]:
        """Yield every video, one at a time; raises UserError where a file cannot be read."""
        if self.recipe is not None and is_extraction(self.path):
            opened = Extraction(self.path)
            for name in opened.videos:
                yield Video(name, opened.features(name), opened.record(name).facts)
        elif (self.path / "bank.json").is_file():
            yield from _of_bank(Bank(self.path))
        else:
            yield from _of_files(self.path)


def find_features(path: Path, option: str = "--features") -> FeatureInput:
    """Return the features in a directory or file; raises UserError, which names the `option`, where there are none."""
    if is_extraction(path):
        return FeatureInput(path, Extraction(path).recipe)
    if (path / "bank.json").is_file():
        bank = Bank(path)
        return FeatureInput(path, bank.card.features[bank.features_name].extraction)
    if not path.exists():
        raise UserError(f"{option} {path}: no such file or directory")
    if not _files(path):
        raise UserError(
            f"{option} {path}: no features here; expected .npy files, a bank, or what `harness extract` wrote"
        )
    return FeatureInput(path, None)


def _of_bank(bank: Bank) -> Iterator[Video]:
    for split in map(bank.split, SPLITS):
        crops: dict[str, list[NDArray[Any]]] = {}
        for index, item in enumerate(split.items):
            start = int(split.starts[index])
            crops.setdefault(item.video, []).append(split.features[start : start + item.snippets])
        for name, parts in crops.items():
            yield Video(name, np.stack(parts, axis=1))


def _of_files(path: Path) -> Iterator[Video]:
    for name, files in _files(path).items():
        arrays = [read_array(file) for file in files]
        for file, array in zip(files, arrays, strict=True):
            if array.ndim not in (2, 3) or array.dtype.kind != "f" or (array.ndim == 3 and len(files) > 1):
                raise UserError(f"{file}: {array.dtype} {list(array.shape)}; expected floats [T, D] or [T, crops, D]")
        if len({array.shape for array in arrays}) > 1:
            raise UserError(f"{files[0]}: the crops of {name} have different shapes")
        yield Video(name, arrays[0] if arrays[0].ndim == 3 else np.stack(arrays, axis=1))


def _files(path: Path) -> dict[str, list[Path]]:
    """Files of every video, its crops in order."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for file in sorted(path.rglob("*.npy")) if path.is_dir() else [path]:
        match = _CROP.fullmatch(file.stem)
        name, crop = (match[1], int(match[2])) if match else (file.stem, 0)
        found.setdefault(name, []).append((crop, file))
    return {name: [file for _, file in sorted(files)] for name, files in found.items()}
