"""Writing a feature bank, one item at a time, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from harness.data.array_file import ArrayFile
from harness.data.bank import FACTS, FORMAT, GLANCES, REMARKS, SPLITS, Item, SplitName, content_files
from harness.data.card import DatasetCard
from harness.data.shares import Share
from harness.io.atomic import write_json, write_text
from harness.io.digests import digest, file_digest, signed
from harness.printable import printable
from harness.records.truth import GroundTruth


class BankWriter:
    """Write a bank into an empty directory.

    Use as a context manager inside `harness.io.atomic.replacing_directory`; call `finish` at the end.
    """

    def __init__(
        self, directory: Path, card: DatasetCard, features: str, expected: Mapping[SplitName, int] | None = None
    ) -> None:
        """`expected` rows of each split need not come; where as many do, nothing is read again to be hashed."""
        self._directory = directory
        self._card = card
        self._features = features
        self._spec = card.features[features]
        self._dtype = np.dtype(self._spec.dtype)
        self._expected = expected or {}
        self._arrays: dict[SplitName, ArrayFile] = {}
        self._items: dict[SplitName, list[Item]] = {split: [] for split in SPLITS}

    def __enter__(self) -> BankWriter:
        for split in SPLITS:
            path, expected = self._directory / f"{split}.npy", self._expected.get(split, 0)
            self._arrays[split] = ArrayFile(path, self._dtype, self._spec.dim, expected)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for array in self._arrays.values():
            array.close()

    def add(self, split: SplitName, item: Item, features: NDArray[np.floating[Any]]) -> None:
        """Append the features `[T, D]` of one item."""
        if features.shape != (item.snippets, self._spec.dim):
            raise ValueError(f"{item.video}: features {features.shape}, expected {(item.snippets, self._spec.dim)}")
        self._arrays[split].append(features)
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
        facts: Mapping[str, Any] | None = None,
        glances: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Write index, ground truth and description.

        `origin` says where the features came from, `variants` are ground truths by other protocols of the card, and
        `missing` says why others could not be built. `shares` are those of an incomplete data set; `remarks` are
        lines that are kept as text, `facts` what is known of the video files that features were extracted from.
        `glances` are frames clicked in training videos, None where the data set has none.
        """
        for split, items in self._items.items():
            rows = [{"video": i.video, "crop": i.crop, "snippets": i.snippets, "labels": list(i.labels)} for i in items]
            write_json(self._directory / f"{split}.json", rows)
        truth.save(self._directory / "truth.json")
        others = {f"truth@{name}.json": other for name, other in (variants or {}).items()}
        for name, other in others.items():
            other.save(self._directory / name)
        content = json.loads(self._card.model_dump_json())
        write_text(self._directory / "card.yaml", yaml.safe_dump(content, sort_keys=False))
        if remarks:
            write_text(self._directory / REMARKS, "".join(f"{printable(line)}\n" for line in remarks))
        if facts:
            write_json(self._directory / FACTS, dict(facts))
        if glances is not None:
            write_json(self._directory / GLANCES, {video: list(frames) for video, frames in glances.items()})
        # No part of the bank's hash: what sees no glances keeps its results when they come.
        kept = {REMARKS: remarks, FACTS: facts, GLANCES: glances is not None}
        told = ("card.yaml", *(name for name, there in kept.items() if there))
        hashes = {array.path.name: array.finish() for array in self._arrays.values()}
        names = (*content_files(), *others, *told)
        files = {name: hashes[name] if name in hashes else file_digest(self._directory / name) for name in names}
        # A whole bank says nothing of shares, as earlier ones.
        partial = {split: share.model_dump(mode="json") for split, share in (shares or {}).items()}
        description = {
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
        }
        write_json(self._directory / "bank.json", signed(description))
