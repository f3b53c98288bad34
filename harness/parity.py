"""Parity: our numbers against what the official implementations computed.

A case is a folder with `case.json` and `expected.npz`. It stores no weights: parameters and inputs are drawn by a
rule anyone can repeat. An adapter (entry-point group `harness.parity`, by the case's `method`) computes the outputs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UserError
from harness.files import read_json
from harness.npz import read_npz
from harness.plugins import entries, loaded

GROUP = "harness.parity"
KINDS = ("forward", "loss", "gradient")
_REQUIRED = ("method", "seed", "inputs", "parameters", "tolerance")


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


@dataclass(frozen=True)
class Computed:
    """What an adapter computed.

    Outputs by name; gradient norms (None: no gradient) and L2 norms of the change in the first optimizer step, both
    by official parameter name and taken in float64.
    """

    outputs: Mapping[str, Any]
    gradnorm: Mapping[str, float | None] = field(default_factory=dict)
    step_delta: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Error:
    """One compared quantity. `error` is infinite where nothing could be compared; `reason` then says why."""

    output: str
    error: float
    tolerance: float
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.error <= self.tolerance

    @property
    def strain(self) -> float:
        """Error as a multiple of the tolerance."""
        return self.error / self.tolerance if self.tolerance else (0.0 if self.error == 0 else np.inf)

    def as_json(self) -> dict[str, Any]:
        """Return output, error (null where infinite), tolerance, and the reason if there is one."""
        number = self.error if np.isfinite(self.error) else None
        row = {"output": self.output, "error": number, "tolerance": self.tolerance}
        return {**row, "reason": self.reason} if self.reason else row


@dataclass(frozen=True)
class CaseResult:
    """Outcome of a case; `errors` holds every compared quantity."""

    case: str
    method: str
    source: str
    errors: tuple[Error, ...]
    losses: frozenset[str] = frozenset()

    @property
    def ok(self) -> bool:
        """Whether everything is within tolerance."""
        return all(error.ok for error in self.errors)

    @property
    def worst(self) -> Error:
        """The error that is largest against its tolerance."""
        return max(self.errors, key=lambda error: error.strain)

    def worst_of(self, kind: str) -> Error | None:
        """Return the worst error of one of `KINDS`, None where the case has none."""
        chosen = [error for error in self.errors if self._kind(error.output) == kind]
        return max(chosen, key=lambda error: error.strain, default=None)

    def _kind(self, name: str) -> str:
        if name.startswith(("gradnorm/", "step_delta/")):
            return "gradient"
        return "loss" if name in self.losses else "forward"

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form: case, method, ok, worst, forward, loss, gradient, source."""

        kinds = {kind: error and error.as_json() for kind in KINDS for error in [self.worst_of(kind)]}
        known = {"case": self.case, "method": self.method, "ok": self.ok, "worst": self.worst.as_json()}
        return {**known, **kinds, "source": self.source}


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


def adapters() -> dict[str, Callable[[], Callable[[Case], Computed]]]:
    """Return, by method, what loads the registered adapter; ours win a name that a third party also claims."""
    found, _ = entries(GROUP, ("methods.", "harness."))
    return {name: partial(loaded, entry, f"the adapter for {name}") for name, entry in found.items()}


def check(case: Case) -> CaseResult:
    """Compute the case's outputs and compare each of them with the official one.

    Raises:
        UserError: no adapter is registered for the case's method, it cannot be imported, or the case does not fit it.
    """
    known = adapters()
    if case.method not in known:
        raise UserError(f"{case.path}: no adapter for method {case.method!r}; there are {', '.join(sorted(known))}")
    compute = known[case.method]()
    try:
        return compare(case, compute(case))
    except UserError:
        raise
    except Exception as error:  # a case of another shape than its adapter expects may break it anywhere
        reason = str(error).split("\n")[0][:200]
        raise UserError(f"{case.path}: {case.method} cannot compute it ({type(error).__name__}: {reason})") from error


def compare(case: Case, computed: Computed) -> CaseResult:
    """Compare what was computed with the case's expected values, within its `tolerance` field.

    Outputs are relative to the largest absolute value of that output; gradient norms and step norms are relative
    per parameter; what the case names under `absolute` must be below that value on both sides.
    """
    spec = case.spec
    errors = [_output_error(case, name, value, computed.outputs) for name, value in case.expected.items()]
    for kind, key, ours in (
        ("gradnorm", "expected_gradnorm", computed.gradnorm),
        ("step_delta", "expected_step1_delta_norm", computed.step_delta),
    ):
        errors += [
            _norm_error(case, f"{kind}/{name}", value, ours.get(name)) for name, value in spec.get(key, {}).items()
        ]
    small = {name for name, value in case.expected.items() if value.size == 1 or name.startswith("total")}
    losses = frozenset(small if "loss" in str(spec.get("variant", "")) else ())
    return CaseResult(case.path.resolve().name, case.method, str(spec.get("source", "")), tuple(errors), losses)


def _limit(case: Case, label: str) -> tuple[float, bool]:
    """Tolerance of a compared quantity, and whether it is an absolute one."""
    tolerance = case.spec["tolerance"]
    if label in tolerance.get("absolute", {}):
        return float(tolerance["absolute"][label]), True
    return float(tolerance.get("overrides", {}).get(label, tolerance[label.split("/")[0]])), False


def _output_error(case: Case, name: str, expected: NDArray[Any], outputs: Mapping[str, Any]) -> Error:
    limit, absolute = _limit(case, f"outputs/{name}")
    if name not in outputs:
        return Error(name, np.inf, limit, "not computed")
    value = outputs[name]
    ours = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if ours.shape != expected.shape:
        return Error(name, np.inf, limit, f"shape {list(ours.shape)}, expected {list(expected.shape)}")
    if not expected.size:
        return Error(name, 0.0, limit)
    a, b = ours.astype(np.float64), expected.astype(np.float64)
    if not np.isfinite(a).all():
        return Error(name, np.inf, limit, "NaN or infinite")
    largest = float(np.abs(b).max())
    if absolute:
        return Error(name, max(float(np.abs(a).max()), largest), limit)
    return Error(name, float(np.abs(a - b).max()) / (largest or 1.0), limit)


def _norm_error(case: Case, label: str, expected: float | None, ours: float | None) -> Error:
    limit, absolute = _limit(case, label)
    if expected is None:
        return Error(label, 0.0, limit) if ours is None else Error(label, np.inf, limit, "a gradient, none expected")
    if ours is None or not np.isfinite(ours):
        return Error(label, np.inf, limit, "not computed" if ours is None else "NaN or infinite")
    if absolute:
        return Error(label, max(abs(ours), abs(expected)), limit)
    return Error(label, abs(ours - expected) / (abs(expected) or 1.0), limit)
