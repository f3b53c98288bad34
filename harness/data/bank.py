"""The feature bank: every snippet of a split in one memory-mapped array, plus an index and a content hash.

<bank>/bank.json             what it is: card, feature set, dtype, counts, excluded videos, hashes
<bank>/card.yaml             the card it was checked against
<bank>/{train,test}.npy      features [N, D], items one after another
<bank>/{train,test}.json     items: video, crop, number of snippets, labels (training only)
<bank>/truth.json            ground truth of the test split, for the scorer only
<bank>/truth@NAME.json       the same by another protocol of the card
<bank>/import.txt            what the import said, line by line, where it said anything
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from harness.data.card import DatasetCard, read_card
from harness.data.shares import Share, label
from harness.errors import UserError
from harness.files import digest, file_digest, read_json, write_json, write_text
from harness.paths import banks_dir
from harness.truth import GroundTruth
from harness.withheld import check_reach

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")
FORMAT = 1
REMARKS = "import.txt"
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


@dataclass(frozen=True)
class Split:
    """One split, or a part of one: items and the memory-mapped features `[N, D]` that hold their snippets.

    Item i is features[starts[i] : starts[i] + items[i].snippets].
    """

    items: tuple[Item, ...]
    starts: NDArray[np.int64]
    features: NDArray[np.floating[Any]]
    scale: float
    classes: int

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
        first = self.starts[index]
        rows = self.features[first + start : first + min(snippets, snippets if stop is None else stop)]
        scaled: NDArray[np.float32] = np.multiply(rows, np.float32(self.scale), dtype=np.float32)
        return scaled

    def subset(self, mask: NDArray[np.bool_]) -> Split:
        """The items where `mask` `[items]` holds, on the same memory-mapped features."""
        items = tuple(item for item, keep in zip(self.items, mask, strict=True) if keep)
        return Split(items, self.starts[mask], self.features, self.scale, self.classes)


class Bank:
    """An imported data set with one feature set. Opening it reads the index, not the features."""

    def __init__(self, path: Path, variant: str = "") -> None:
        """Open the bank in `path`; `variant` names another protocol of its card.

        Raises:
            UserError: there is no bank, it is of another format, or the variant could not be built at import.
        """
        self.path = path
        if not (path / "bank.json").exists():
            raise UserError(f"{path}: no feature bank here; run `harness data import` first")
        info = read_json(path / "bank.json")
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise UserError(f"{path / 'bank.json'}: not a bank of format {FORMAT}; import the data set again")
        self.info: dict[str, Any] = info
        self.card: DatasetCard = read_card(path / "card.yaml")
        try:
            self.shares: Mapping[SplitName, Share] = _Info.model_validate(info).partial
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            raise UserError(f"{path / 'bank.json'}: damaged (field {where}); import the data set again") from error
        if self.info["features"] not in self.card.features:
            raise UserError(f"{path / 'bank.json'}: damaged (field features); import the data set again")
        self.features_name: str = self.info["features"]
        self._truth = "truth.json"
        if variant:
            self._truth = f"truth@{variant}.json"
            if self._truth not in self.info["files"]:
                reason = self.info.get("variants", {}).get(variant, "the card had no such protocol then")
                name = f"{self.card.name}@{variant}"
                raise UserError(f"dataset {name} was not built when the set was imported ({reason}); import it again")
            self.card = self.card.variant(variant)

    @property
    def content_hash(self) -> str:
        """Hash of features, index and ground truth; it goes into every run."""
        whole = str(self.info["hash"])
        return whole if self._truth == "truth.json" else digest(whole, self.info["files"][self._truth])

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
        index = self._unchanged(f"{name}.json")
        try:
            items = _ITEMS.validate_json(index.read_bytes(), strict=True)
        except ValidationError as error:
            raise UserError(f"{index}: damaged ({error.errors()[0]['msg']}); import the data set again") from error
        if max((label for item in items for label in item.labels), default=0) >= len(self.card.classes):
            raise UserError(f"{index}: damaged (a label beyond the card's classes); import the data set again")
        try:
            features = np.lib.format.open_memmap(self.path / f"{name}.npy", mode="r")
        except Exception as error:  # numpy raises many kinds for a damaged header
            reason = " ".join(str(error).split())
            raise UserError(f"{self.path / f'{name}.npy'}: damaged ({reason}); import the data set again") from error
        card = self.card.features[self.features_name]
        expected = (sum(item.snippets for item in items), card.dim)
        if features.dtype.kind != "f":
            raise UserError(f"{self.path / f'{name}.npy'}: {features.dtype}, expected floats; import again")
        if features.shape != expected:
            raise UserError(f"{self.path / f'{name}.npy'}: shape {features.shape}, expected {expected}; import again")
        starts = np.cumsum([0, *(item.snippets for item in items)], dtype=np.int64)[:-1]
        return Split(items, starts, features, card.scale, len(self.card.classes))

    def truth(self) -> GroundTruth:
        """Return the ground truth of the test split, for the scorer; raises HarnessError where a run is computed."""
        check_reach()
        return GroundTruth.load(self._unchanged(self._truth))

    def _unchanged(self, name: str) -> Path:
        """Path of a small content file, which must be what was imported; `verify` checks the features as well."""
        path = self.path / name
        try:
            found = self.file_hash(name)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; import the data set again") from error
        if found != self.info["files"].get(name):
            raise UserError(f"{path}: content changed since it was imported; import the data set again")
        return path

    def file_hash(self, name: str) -> str:
        """Hash of one content file as it is now; raises OSError if it is missing."""
        return file_digest(self.path / name)


def content_files() -> tuple[str, ...]:
    """Names of the files whose bytes make up a bank's content hash."""
    return ("train.npy", "train.json", "test.npy", "test.json", "truth.json")


class BankWriter:
    """Write a bank into an empty directory, one item at a time, in bounded memory.

    Use as a context manager inside `harness.files.replacing_directory`; call `finish` at the end.
    """

    def __init__(self, directory: Path, card: DatasetCard, features: str) -> None:
        self._directory = directory
        self._card = card
        self._features = features
        self._spec = card.features[features]
        self._dtype = np.dtype(self._spec.dtype)
        self._streams: dict[SplitName, BinaryIO] = {}
        self._items: dict[SplitName, list[Item]] = {split: [] for split in SPLITS}

    def __enter__(self) -> BankWriter:
        for split in SPLITS:
            stream = (self._directory / f"{split}.npy").open("wb")
            self._streams[split] = stream
            self._write_header(stream, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            stream.close()

    def add(self, split: SplitName, item: Item, features: NDArray[np.floating[Any]]) -> None:
        """Append the features `[T, D]` of one item."""
        if features.shape != (item.snippets, self._spec.dim):
            raise ValueError(f"{item.video}: features {features.shape}, expected {(item.snippets, self._spec.dim)}")
        self._streams[split].write(np.ascontiguousarray(features, dtype=self._dtype).tobytes())
        self._items[split].append(item)

    def finish(
        self,
        truth: GroundTruth,
        excluded: Mapping[SplitName, tuple[str, ...]],
        origin: str,
        variants: Mapping[str, GroundTruth] | None = None,
        missing: Mapping[str, str] | None = None,
        shares: Mapping[SplitName, Share] | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        """Write index, ground truth and description.

        `origin` says where the features came from, `variants` are ground truths by other protocols of the card, and
        `missing` says why others could not be built. `shares` are those of an incomplete data set; `remarks` are
        lines that are kept as text.
        """
        for split, items in self._items.items():
            self._streams[split].seek(0)
            self._write_header(self._streams[split], sum(item.snippets for item in items))
            self._streams[split].close()
            rows = [{"video": i.video, "crop": i.crop, "snippets": i.snippets, "labels": list(i.labels)} for i in items]
            write_json(self._directory / f"{split}.json", rows)
        truth.save(self._directory / "truth.json")
        others = {f"truth@{name}.json": other for name, other in (variants or {}).items()}
        for name, other in others.items():
            other.save(self._directory / name)
        content = json.loads(self._card.model_dump_json())
        write_text(self._directory / "card.yaml", yaml.safe_dump(content, sort_keys=False))
        files = {name: file_digest(self._directory / name) for name in (*content_files(), *others)}
        if remarks:
            write_text(self._directory / REMARKS, "".join(f"{line}\n" for line in remarks))
        # A whole bank says nothing of shares, as earlier ones.
        partial = {split: share.model_dump(mode="json") for split, share in (shares or {}).items()}
        write_json(
            self._directory / "bank.json",
            {
                **({"partial": partial} if partial else {}),
                "format": FORMAT,
                "dataset": self._card.name,
                "features": self._features,
                "card_hash": self._card.digest_of(self._features),
                "hash": digest(*(f"{name}={files[name]}" for name in content_files())),
                "files": files,
                "excluded": {split: list(excluded.get(split, ())) for split in SPLITS},
                "origin": origin,
                "variants": dict(missing or {}),
            },
        )

    def _write_header(self, stream: BinaryIO, rows: int) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            # The header is rewritten in place once the row count is known; numpy pads it to leave room.
            "shape": (rows, self._spec.dim),
        }
        np.lib.format.write_array_header_1_0(stream, header)
