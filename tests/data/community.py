"""The community's own files in `../shared`, and whole data sets with features one number wide to go with them."""

from __future__ import annotations

import csv
import gzip
import io
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.card import DatasetCard
from harness.data.cards import find_card


class _PlainArrays(pickle.Unpickler):
    """Builds numpy arrays and nothing else, so that no code in the file can run."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("numpy", "dtype"): np.dtype,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
        }
        return allowed[module, name]


def pickled_rows(path: Path) -> list[Any]:
    """Rows of an object array such as gt_segment.npy."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        assert version == (1, 0)
        np.lib.format.read_array_header_1_0(stream)
        return list(_PlainArrays(io.BytesIO(stream.read())).load())


def narrow(name: str, features: str, **fields: Any) -> DatasetCard:
    """A built-in card with one feature set, one number wide; `fields` replace others of that set."""
    content = find_card(name).model_dump(mode="json")
    content["features"] = {features: {**content["features"][features], "dim": 1, **fields}}
    return DatasetCard.model_validate(content)


def listed_videos(path: Path) -> list[str]:
    """Videos of a VadCLIP list, once each, in its order."""
    with path.open(encoding="utf-8") as stream:
        names = (row["path"].rpartition("/")[2].rpartition("__")[0] for row in csv.DictReader(stream))
        return list(dict.fromkeys(names))


def snippets_of(path: Path) -> list[list[int]]:
    """Labels of the snippets of each video in a table `video_id,pred,gt`, in its order."""
    labels: dict[str, list[int]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            labels.setdefault(row["video_id"], []).append(int(float(row["gt"])))
    return list(labels.values())


def save_snippets(root: Path, lengths: Mapping[str, int], suffix: str, shape: Iterable[int] = (1,)) -> None:
    """Write `<video><suffix>.npy` of so many snippets for each video."""
    root.mkdir(parents=True, exist_ok=True)
    for video, length in lengths.items():
        np.save(root / f"{video}{suffix}.npy", np.ones((length, *shape), np.float32))
