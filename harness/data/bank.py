"""The feature bank: every snippet of a split in one memory-mapped array, plus an index and a content hash.

<bank>/bank.json             what it is: card, feature set, excluded videos, hashes of all files and of itself
<bank>/card.yaml             the card it was checked against
<bank>/{train,test}.npy      features [N, D], items one after another
<bank>/{train,test}.json     items: video, crop, number of snippets, labels (training only)
<bank>/truth.json            ground truth of the test split, for the scorer only
<bank>/truth@NAME.json       the same by another protocol of the card
<bank>/glances.json          frames that were clicked in the training videos, by video, where the data set has any
<bank>/videos.json           facts of the video files, where features were extracted from them here
<bank>/import.txt            what the import said, line by line, where it said anything

Whatever of it is opened is what was imported: small files are hashed each time, features are known by their seal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from harness.data.card import DatasetCard, read_card
from harness.data.shares import Share, label
from harness.errors import UserError
from harness.io import seals
from harness.io.atomic import read_json
from harness.io.digests import digest, file_digest, intact
from harness.io.mapped import will_need
from harness.paths import banks_dir
from harness.records.label_access import check_reach
from harness.records.truth import GroundTruth

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")
# Since 2 a bank knows the hash of its description, its card and its remarks; one of 1 is read as it is.
FORMAT = 2
_READABLE = (1, FORMAT)
AGAIN = "import the data set again (`harness data import`)"
REMARKS, FACTS, GLANCES = "import.txt", "videos.json", "glances.json"
_Count = Annotated[int, Field(ge=0, le=1 << 40)]


def bank_path(dataset: str, features: str) -> Path:
    """Directory of the bank of one data set and feature set."""
    return banks_dir() / dataset / features


@dataclass(frozen=True)
class Item:
    """One feature file: a video seen through one crop. `labels` are class indices, empty in the test split."""

    video: str
    crop: _Count
    snippets: _Count
    labels: tuple[_Count, ...] = ()


class _Info(BaseModel):
    """What `bank.json` must say beside its format."""

    features: str
    card_hash: str
    hash: str
    files: dict[str, str]
    excluded: dict[SplitName, list[str]] = Field(min_length=len(SPLITS))
    origin: str
    variants: dict[str, str] = {}
    partial: dict[SplitName, Share] = {}


_ITEMS = TypeAdapter(tuple[Item, ...])
_CLICKS = TypeAdapter(dict[str, tuple[_Count, ...]])


@dataclass(frozen=True)
class Split:
    """One split, or a part of one: items and the memory-mapped features `[N, D]` that hold their snippets.

    Item i is features[starts[i] : starts[i] + items[i].snippets]. `glances` are the places that were clicked in each
    training video, in order, in snippets from its start; None where the data set has none, and in the test split.
    """

    items: tuple[Item, ...]
    starts: NDArray[np.int64]
    features: NDArray[np.floating[Any]]
    scale: float
    classes: int
    glances: Mapping[str, tuple[float, ...]] | None = None

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Where each item's rows lie when the items are put one after another, `[items + 1]`."""
        return np.concatenate([[0], np.cumsum([item.snippets for item in self.items])]).astype(np.int64)

    @cached_property
    def labels(self) -> NDArray[np.float32]:
        """Multi-hot video labels `[items, K]`, column 0 normal; all zero in the test split."""
        labels = np.zeros((len(self.items), self.classes), dtype=np.float32)
        for row, item in enumerate(self.items):
            labels[row, list(item.labels)] = 1
        return labels

    def item_features(self, index: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Scaled features `[T, D]` float32 of one item, or of its snippets start .. stop (a copy)."""
        snippets = self.items[index].snippets
        first = int(self.starts[index])
        begin, end = first + start, first + min(snippets, snippets if stop is None else stop)
        will_need(self.features, begin, end)
        scaled: NDArray[np.float32] = np.multiply(self.features[begin:end], np.float32(self.scale), dtype=np.float32)
        return scaled

    def will_need(self, index: int) -> None:
        """Say that `item_features` of an item will be asked for soon, so that the disk can begin."""
        first = int(self.starts[index])
        will_need(self.features, first, first + self.items[index].snippets)

    def subset(self, mask: NDArray[np.bool_]) -> Split:
        """The items where `mask` `[items]` holds, on the same memory-mapped features."""
        items = tuple(item for item, keep in zip(self.items, mask, strict=True) if keep)
        return replace(self, items=items, starts=self.starts[mask])


class Bank:
    """An imported data set with one feature set. Opening it reads the index, not the features."""

    def __init__(self, path: Path, variant: str = "", again: str = AGAIN) -> None:
        """Open the bank in `path`; `variant` names another protocol of its card, `again` says how it is made anew.

        Raises:
            UserError: there is no bank, it is of another format or damaged, or the variant was not built at import.
        """
        self.path = path
        self._again = again
        if not (path / "bank.json").exists():
            raise UserError(f"{path}: no feature bank here; run `harness data import` first")
        self.info: dict[str, Any] = self._description()
        self.card: DatasetCard = read_card(
            path / "card.yaml" if self.info["format"] == 1 else self._unchanged("card.yaml")
        )
        if self.info["features"] not in self.card.features:
            raise self._damaged("bank.json", "field features")
        self.features_name: str = self.info["features"]
        self._truth = "truth.json"
        if variant:
            self._truth = f"truth@{variant}.json"
            if self._truth not in self.info["files"]:
                reason = self.info.get("variants", {}).get(variant, "the card had no such protocol then")
                name = f"{self.card.name}@{variant}"
                raise UserError(f"dataset {name} was not built when the set was imported ({reason}); import it again")
            self.card = self.card.variant(variant)

    def _description(self) -> dict[str, Any]:
        """What `bank.json` says."""
        info = read_json(self.path / "bank.json", self._again)
        if not isinstance(info, dict) or info.get("format") not in _READABLE:
            formats = " or ".join(map(str, _READABLE))
            raise UserError(f"{self.path / 'bank.json'}: not a bank of format {formats}; {self._again}")
        if info["format"] != 1 and not intact(info):
            raise self._damaged("bank.json", "its hash is not that of its content")
        try:
            self.shares: Mapping[SplitName, Share] = _Info.model_validate(info).partial
        except ValidationError as error:
            raise self._damaged("bank.json", f"field {'.'.join(map(str, error.errors()[0]['loc']))}") from error
        return info

    @property
    def content_hash(self) -> str:
        """Hash of features, index and ground truth; it goes into every run. Glances have one of their own."""
        whole = str(self.info["hash"])
        return whole if self._truth == "truth.json" else digest(whole, self.info["files"][self._truth])

    @property
    def glances_hash(self) -> str:
        """Hash of the glances, which goes into the runs that learn from them; "" where there are none."""
        return str(self.info["files"].get(GLANCES, ""))

    @property
    def glances(self) -> Mapping[str, tuple[int, ...]]:
        """Frames that were clicked in each training video, in order; empty where there are none.

        Raises:
            UserError: the file of them is missing or damaged.
        """
        if not self.glances_hash:
            return {}
        try:
            return _CLICKS.validate_json(self._unchanged(GLANCES).read_bytes())
        except ValidationError as error:
            raise self._damaged(GLANCES, error.errors()[0]["msg"]) from error

    @property
    def variants(self) -> tuple[str, ...]:
        """Other protocols of the card whose ground truth was built."""
        return tuple(name for name in self.card.protocol.variants if f"truth@{name}.json" in self.info["files"])

    @property
    def excluded(self) -> Mapping[str, tuple[str, ...]]:
        """Videos left out because they have no snippets, by split."""
        return {split: tuple(names) for split, names in self.info["excluded"].items()}

    @property
    def partial(self) -> str:
        """What is there of an incomplete data set, such as `184 of 1,610 training videos`; "" if all of it is."""
        return label(self.shares)

    def split(self, name: SplitName) -> Split:
        """Return a split; its features are memory-mapped.

        Raises:
            UserError: the index or the feature file is missing or damaged.
        """
        index, array = self._unchanged(f"{name}.json"), self._unchanged(f"{name}.npy")
        try:
            items = _ITEMS.validate_json(index.read_bytes(), strict=True)
        except ValidationError as error:
            raise self._damaged(index.name, error.errors()[0]["msg"]) from error
        if max((label for item in items for label in item.labels), default=0) >= len(self.card.classes):
            raise self._damaged(index.name, "a label beyond the card's classes")
        try:
            features = np.lib.format.open_memmap(array, mode="r")
        except Exception as error:  # numpy raises many kinds for a damaged header
            raise self._damaged(array.name, " ".join(str(error).split())) from error
        card = self.card.features[self.features_name]
        expected = (sum(item.snippets for item in items), card.dim)
        if features.dtype.kind != "f":
            raise self._damaged(array.name, f"{features.dtype}, expected floats")
        if features.shape != expected:
            raise self._damaged(array.name, f"shape {features.shape}, expected {expected}")
        starts = np.cumsum([0, *(item.snippets for item in items)], dtype=np.int64)[:-1]
        glances: dict[str, tuple[float, ...]] | None = None
        if name == "train" and self.glances_hash:
            stride = self.card.alignment.stride
            glances = {video: tuple(frame / stride for frame in frames) for video, frames in self.glances.items()}
        return Split(items, starts, features, card.scale, len(self.card.classes), glances)

    def truth(self) -> GroundTruth:
        """Return the ground truth of the test split, for the scorer; raises HarnessError where a run is computed."""
        check_reach()
        return GroundTruth.load(self._unchanged(self._truth))

    def check(self, full: bool = False) -> None:
        """Raise UserError unless every file is what was imported; `full`: features are hashed despite their seal."""
        for name in self.info["files"]:
            self._unchanged(name, full)

    def seal(self) -> None:
        """Seal the features, which the caller has just written and hashed."""
        for name in map(_features_file, SPLITS):
            seals.seal(self.path / name, self.info["files"][name])

    def file_hash(self, name: str) -> str:
        """Hash of one content file as it is now; raises OSError if it is missing."""
        return file_digest(self.path / name)

    def _unchanged(self, name: str, full: bool = False) -> Path:
        """Path of a file, which must be what was imported."""
        path, recorded = self.path / name, self.info["files"].get(name, "")
        try:
            same = seals.holds(path, recorded, full) if path.suffix == ".npy" else self.file_hash(name) == recorded
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; {self._again}") from error
        if not same:
            raise UserError(f"{path}: content changed since it was imported; {self._again}")
        return path

    def _damaged(self, name: str, reason: str) -> UserError:
        return UserError(f"{self.path / name}: damaged ({reason}); {self._again}")


def _features_file(split: SplitName) -> str:
    return f"{split}.npy"


def content_files() -> tuple[str, ...]:
    """Names of the files whose bytes make up a bank's content hash."""
    return ("train.npy", "train.json", "test.npy", "test.json", "truth.json")
