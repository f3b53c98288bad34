"""Parity cases: what an official implementation computed, and what it computed it from.

A case is a folder with `case.json` and `expected.npz`. It stores no weights: parameters and inputs are drawn by a
rule anyone can repeat.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UserError
from harness.io.atomic import read_json
from harness.io.npz import read_npz

# What a case is of, the word that its variant holds: scores, pooling, one loss, an optimizer, a training.
KINDS = ("eval", "pool", "loss", "optim", "train")
_REQUIRED = ("method", "seed", "inputs", "parameters", "tolerance")


def kind_of(name: str) -> str:
    """Return the one of `KINDS` that a variant or the name of a case holds as a word; "eval" if it holds none."""
    return next((kind for kind in KINDS if kind in name.split("-")), "eval")


@dataclass(frozen=True)
class Case:
    """One parity case.

    `spec` is the content of `case.json`, `expected` the official outputs by name, `lists` a directory with the
    community's ground-truth lists (None where there is none).
    """

    path: Path
    spec: dict[str, Any]
    expected: dict[str, NDArray[Any]]
    lists: Path | None = None

    @property
    def method(self) -> str:
        """Name of the method that the case is about."""
        return str(self.spec["method"])

    @property
    def kind(self) -> str:
        """What it is a case of, one of `KINDS`."""
        return kind_of(str(self.spec.get("variant", "")))

    @property
    def config(self) -> dict[str, Any]:
        """The official configuration that the case ran with."""
        return dict(self.spec.get("config", {}))

    @cached_property
    def values(self) -> dict[str, Any]:
        """Inputs given explicitly, all in one dictionary."""
        return {k: v for entry in self.spec["inputs"] if "name" not in entry for k, v in entry["values"].items()}

    def draw64(self, name: str, **overrides: Any) -> NDArray[np.float64]:
        """Return the input or parameter `name` in float64.

        `overrides` (shape, mean, std, transform) replace what the case says about it. An entry whose name holds a
        placeholder, such as `grad.{t}`, describes every name of that form.

        Raises:
            UserError: the case does not describe `name`, or its shape or spread is open and not overridden.
        """
        entry = {**self._entry(name), **overrides}
        try:
            size = [int(n) for n in entry["shape"]]
            centre, spread = float(entry.get("mean", 0.0)), float(entry.get("std", 1.0))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path}: input {name} has no usable shape, mean or std ({error})") from error
        random = np.random.RandomState(zlib.crc32(f"{self.spec['seed']}:{name}".encode()) & 0xFFFFFFFF)
        rule = entry.get("transform")
        if rule == "uniform":
            return np.asarray(centre + spread * random.uniform(0, 1, size), dtype=np.float64)
        drawn = np.asarray(centre + spread * random.standard_normal(size), dtype=np.float64)
        if rule == "abs":
            return np.abs(drawn)
        if rule == "l2":
            return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True), dtype=np.float64)
        if rule is not None:
            raise UserError(f"{self.path}: input {name} has the unknown transform {rule!r}")
        return drawn

    def draw(self, name: str, **overrides: Any) -> NDArray[np.float32]:
        """Return the input or parameter `name` in float32; see `draw64`."""
        return self.draw64(name, **overrides).astype(np.float32)

    def inputs(self) -> dict[str, NDArray[np.float32]]:
        """Return all drawn inputs by name; those with a placeholder in their name are left out."""
        names = [entry["name"] for entry in self.spec["inputs"] if "name" in entry]
        return {name: self.draw(name) for name in names if "{" not in name}

    def parameters(self) -> dict[str, Tensor]:
        """Return the official state dict: drawn parameters (float32) and constants."""
        drawn = {p["name"]: torch.from_numpy(np.array(self.draw(p["name"]))) for p in self.spec["parameters"]}
        return {**drawn, **{k: torch.tensor(v) for k, v in self.spec.get("constants", {}).items()}}

    @cached_property
    def _entries(self) -> dict[str, dict[str, Any]]:
        return {e["name"]: e for e in [*self.spec["inputs"], *self.spec["parameters"]] if "name" in e}

    def _entry(self, name: str) -> dict[str, Any]:
        if name in self._entries:
            return self._entries[name]
        for template, entry in self._entries.items():
            parts = re.split(r"\{[^}]*\}", template)
            if len(parts) > 1 and re.fullmatch(r"[^.]+".join(map(re.escape, parts)), name):
                return entry
        raise UserError(f"{self.path}: the case describes no input or parameter {name}")


def case_directories(paths: Sequence[Path]) -> list[Path]:
    """Return the case folders among `paths` and in them, sorted; other files (a README) are passed over.

    Raises:
        UserError: a path does not exist, or there is no case at all.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such directory; give parity cases or a directory of them")
        inside = sorted(file.parent for file in path.glob("*/case.json"))
        found += [path] if (path / "case.json").exists() else inside
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no parity case here (a folder with case.json and expected.npz)")
    return found


def read_case(path: Path, lists: Path | None = None) -> Case:
    """Return the case in folder `path`; `lists` defaults to `../../real/lists` seen from there, if it exists.

    Raises:
        UserError: the folder is no case: a file is missing or unreadable, or a field is missing.
    """
    path = Path(path)
    spec = read_json(path / "case.json")
    missing = [key for key in _REQUIRED if not isinstance(spec, dict) or key not in spec]
    if missing:
        raise UserError(f"{path / 'case.json'}: not a parity case, it lacks {', '.join(missing)}")
    expected = read_npz(path / "expected.npz")
    beside = path.resolve().parent.parent / "real" / "lists"
    return Case(path, spec, expected, lists or (beside if beside.is_dir() else None))
