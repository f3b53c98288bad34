"""Does a bank still hold what was imported, and what is in it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from harness.data.bank import SPLITS, Bank, Split
from harness.errors import UserError


def verify(bank: Bank) -> list[str]:
    """Return what is wrong with a bank, one line each; empty if every file has the hash it was written with."""
    problems = []
    for name, recorded in bank.info["files"].items():
        try:
            found = bank.file_hash(name)
        except OSError as error:
            problems.append(f"{bank.path / name}: {error.strerror}")
            continue
        if found != recorded:
            problems.append(f"{bank.path / name}: content changed (sha256 {found[:12]}, imported as {recorded[:12]})")
    if problems:
        return problems
    try:
        tested = {item.video for item in bank.split("test").items}
        bank.split("train")
        if tested != set(bank.truth().videos):
            problems.append(f"{bank.path / 'truth.json'}: its videos are not those of the test split")
    except UserError as error:
        problems.append(str(error))
    return problems


def mean_norm(split: Split) -> float:
    """Return the mean norm of some 4,096 evenly chosen snippets, at the scale that methods see; 0 without any."""
    rows = split.features[:: max(1, len(split.features) // 4096)]
    return float(np.linalg.norm(rows.astype(np.float64), axis=1).mean() * split.scale) if len(rows) else 0.0


def describe(bank: Bank) -> dict[str, Any]:
    """Return a JSON-ready description: counts per split and class, frames, excluded videos, norm, hash."""
    truth = bank.truth()
    splits: dict[str, Any] = {}
    for name in SPLITS:
        split = bank.split(name)
        labels = {item.video: item.labels or truth.videos[item.video].labels for item in split.items}
        counts = Counter(bank.card.class_names[label] for each in labels.values() for label in each)
        splits[name] = {
            "videos": len(labels),
            "items": len(split.items),
            "snippets": int(split.offsets[-1]),
            "crops": sorted({item.crop for item in split.items}),
            "excluded": list(bank.excluded[name]),
            "missing": bank.shares[name].all_videos - bank.shares[name].videos if name in bank.shares else 0,
            "classes": {name: counts[name] for name in bank.card.class_names},
            "mean_norm": mean_norm(split),
        }
    spec = bank.card.features[bank.features_name]
    return {
        "dataset": bank.card.name,
        "features": bank.features_name,
        "dim": spec.dim,
        "scale": spec.scale,
        "extraction": spec.extraction.words if spec.extraction else "",
        "hash": bank.content_hash,
        "path": str(bank.path),
        "origin": bank.info["origin"],
        "partial": bank.partial,
        "glances": sum(map(len, bank.glances.values())),
        "frame_rule": bank.card.frame_rule,
        "variants": {name: name in bank.variants for name in bank.card.protocol.variants},
        "splits": splits,
        "test_frames": truth.frames,
        "test_positive_frames": int(sum(video.mask().sum() for video in truth.videos.values())),
    }
