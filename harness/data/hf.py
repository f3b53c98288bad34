"""A bank as a Hugging Face `datasets` directory and back, bit for bit. The only module that imports that library."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness.data.bank import GLANCES, REMARKS, SPLITS, Bank, Item, SplitName, bank_path
from harness.data.bank_writer import BankWriter
from harness.data.card import DatasetCard, read_card
from harness.data.lists import read_text
from harness.data.manifest import check_manifest, write_manifest
from harness.data.shares import Share
from harness.errors import UserError
from harness.io.atomic import read_json, replacing_directory
from harness.records.truth import GroundTruth

# Beside what `save_to_disk` writes: what a table of features cannot hold.
_SIDE_FILES = ("bank.json", "card.yaml", "truth.json")
_AGAIN = "copy it again from where it is whole, or export it again (`harness data export`)"
_ROWS_IN_MEMORY = 16


def is_exported(directory: Path) -> bool:
    """Whether `directory` was written by `export_bank`."""
    return (directory / "dataset_dict.json").is_file() and (directory / "bank.json").is_file()


def export_bank(bank: Bank, directory: Path) -> None:
    """Write a `DatasetDict` with one row per item: video, crop, labels (training only) and features `[T, D]`.

    Raises:
        UserError: the directory exists already or cannot be written.
    """
    if directory.exists():
        raise UserError(f"{directory}: exists already; name a new directory")
    bank.check()
    datasets = _library()
    spec = bank.card.features[bank.features_name]
    features = datasets.Features(
        {
            "video": datasets.Value("string"),
            "crop": datasets.Value("int32"),
            "labels": datasets.List(datasets.ClassLabel(names=list(bank.card.class_names))),
            "features": datasets.Array2D((None, spec.dim), spec.dtype),
        }
    )
    with replacing_directory(directory) as target, tempfile.TemporaryDirectory(dir=target.parent) as cache:
        parts = {
            name: datasets.Dataset.from_generator(
                _rows,
                features=features,
                # The arguments are hashed by pickling: a path, never the features themselves.
                gen_kwargs={"path": str(bank.path), "name": name},
                cache_dir=cache,
                split=name,
                writer_batch_size=_ROWS_IN_MEMORY,
            )
            for name in SPLITS
        }
        datasets.DatasetDict(parts).save_to_disk(str(target.absolute()))
        for name in (*_SIDE_FILES, *(f"truth@{variant}.json" for variant in bank.variants)):
            shutil.copyfile(bank.path / name, target / name)
        for name in (REMARKS, GLANCES):
            if (bank.path / name).exists():
                shutil.copyfile(bank.path / name, target / name)
        write_manifest(target)


def _rows(path: str, name: SplitName) -> Iterator[dict[str, Any]]:
    split = Bank(Path(path)).split(name)
    for item, start in zip(split.items, split.starts, strict=True):
        yield {
            "video": item.video,
            "crop": item.crop,
            "labels": list(item.labels),
            "features": np.asarray(split.features[start : start + item.snippets]),
        }


def import_exported(
    directory: Path, card: DatasetCard, features: str | None = None, say: Callable[[str], None] = lambda line: None
) -> Bank:
    """Write the bank that `export_bank` read, with the same bytes. `features`: the feature set it must hold.

    `say` is told where the directory is of an earlier version, whose files cannot all be checked.

    Raises:
        UserError: the directory is damaged or of another data set.
    """
    # Before a reader maps them: where an Arrow file ends too early, the process would be killed.
    if not check_manifest(directory, _AGAIN):
        say(f"{directory}: exported by an earlier version, without hashes of all its files; not all could be checked")
    stored = read_card(directory / "card.yaml")
    info = read_json(directory / "bank.json")
    exported = info.get("features") if isinstance(info, dict) else None
    if exported not in tuple(stored.features):
        raise UserError(f"{directory / 'bank.json'}: not what `harness data export` writes; export it again")
    if exported not in card.features or stored.digest_of(exported) != card.digest_of(exported):
        raise UserError(f"{directory}: exported from another version of the card {stored.name}, expected {card.name}")
    if features not in (None, exported):
        raise UserError(f"{directory}: holds the feature set {exported}, not {features}")
    datasets = _library()
    try:
        parts = datasets.load_from_disk(str(directory.absolute())).with_format("numpy")
    except Exception as error:  # pyarrow and datasets raise many kinds for a damaged directory
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{directory}: not a readable datasets directory ({reason})") from error
    path = bank_path(card.name, exported)
    with replacing_directory(path) as target:
        try:
            with BankWriter(target, stored, exported) as writer:
                for name in SPLITS:
                    for row in parts[name]:
                        array = row["features"]
                        labels = tuple(int(label) for label in row["labels"])
                        writer.add(name, Item(str(row["video"]), int(row["crop"]), len(array), labels), array)
                excluded = {split: tuple(info["excluded"][split]) for split in SPLITS}
                files = sorted(name for name in info["files"] if name.startswith("truth@"))
                variants = {name[6:-5]: GroundTruth.load(directory / name) for name in files}
                truth = GroundTruth.load(directory / "truth.json")
                shares = {split: Share.model_validate(share) for split, share in info.get("partial", {}).items()}
                remarks = read_text(directory / REMARKS) if (directory / REMARKS).exists() else ()
                glances = read_json(directory / GLANCES) if GLANCES in info["files"] else None
                writer.finish(
                    truth, excluded, info["origin"], variants, info.get("variants"), shares, remarks, glances=glances
                )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{directory}: not what `harness data export` writes ({error}); export it again") from error
        written = Bank(target)
        if (written.content_hash, written.glances_hash) != (info.get("hash"), info["files"].get(GLANCES, "")):
            raise UserError(f"{directory}: the content changed since it was exported; export it again")
    bank = Bank(path)
    bank.seal()
    return bank


def _library() -> ModuleType:
    """Return Hugging Face `datasets`, or say which folder was taken for it."""
    datasets = importlib.import_module("datasets")
    if not hasattr(datasets, "load_from_disk"):
        where = list(getattr(datasets, "__path__", []))
        raise UserError(f"`import datasets` found {where}, not Hugging Face's; install datasets or rename that folder")
    datasets.disable_progress_bars()
    return datasets
