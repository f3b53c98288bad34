"""Parity: our numbers against what the official implementations computed.

An adapter (entry-point group `harness.parity`, by the case's `method`) computes the outputs of a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UserError
from harness.parity.case import Case as Case
from harness.parity.case import case_directories as case_directories
from harness.parity.case import read_case as read_case
from harness.parity.placing import computing_on
from harness.plugin.entry_points import entries, loaded

GROUP = "harness.parity"
# Compared quantities; "update" is what optimizer steps have made of the parameters, and at which rates.
QUANTITIES = ("forward", "loss", "gradient", "update")
_BY_PREFIX = {
    **{"gradnorm/": "gradient", "grad_norm.": "gradient"},
    **{"step_delta/": "update", "final_delta/": "update", "moved.": "update", "lr.": "update", "buffer:": "update"},
}


@dataclass(frozen=True)
class Computed:
    """What an adapter computed.

    Outputs by name; gradient norms (None: no gradient) and L2 norms of the change in the first optimizer step and over
    all steps, by official parameter name and taken in float64.
    """

    outputs: Mapping[str, Any]
    gradnorm: Mapping[str, float | None] = field(default_factory=dict)
    step_delta: Mapping[str, float] = field(default_factory=dict)
    final_delta: Mapping[str, float] = field(default_factory=dict)


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
    """Outcome of a case; `errors` holds every compared quantity, `kind` says what it is a case of."""

    case: str
    method: str
    source: str
    errors: tuple[Error, ...]
    losses: frozenset[str] = frozenset()
    kind: str = "eval"

    @property
    def ok(self) -> bool:
        """Whether everything is within tolerance."""
        return all(error.ok for error in self.errors)

    @property
    def worst(self) -> Error:
        """The error that is largest against its tolerance."""
        return max(self.errors, key=lambda error: error.strain)

    def worst_of(self, quantity: str) -> Error | None:
        """Return the worst error of one of `QUANTITIES`, None where the case has none."""
        chosen = [error for error in self.errors if self._quantity(error.output) == quantity]
        return max(chosen, key=lambda error: error.strain, default=None)

    def _quantity(self, name: str) -> str:
        named = next((each for prefix, each in _BY_PREFIX.items() if name.startswith(prefix)), "forward")
        return "loss" if named == "forward" and name in self.losses else named

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form: case, method, kind, ok, worst, worst of each quantity, source."""
        known = {"case": self.case, "method": self.method, "kind": self.kind, "ok": self.ok}
        worst = {each: error and error.as_json() for each in QUANTITIES for error in [self.worst_of(each)]}
        return {**known, "worst": self.worst.as_json(), **worst, "source": self.source}


def adapters() -> dict[str, Callable[[], Callable[[Case], Computed]]]:
    """Return, by method, what loads the registered adapter; ours win a name that a third party also claims."""
    found, _ = entries(GROUP, ("harness.",))
    return {name: partial(loaded, entry, f"the adapter for {name}") for name, entry in found.items()}


def require_adapters(cases: Iterable[Case]) -> None:
    """Refuse cases that nothing can answer, before any is computed.

    Raises:
        UserError: no adapter is registered for a case's method.
    """
    known = adapters()
    for case in cases:
        if case.method not in known:
            raise UserError(f"{case.path}: no adapter for method {case.method!r}; there are {', '.join(sorted(known))}")


def check_case(case: Case, device: str = "cpu") -> CaseResult:
    """Compute the case's outputs on a device and compare each of them with the official one.

    Raises:
        UserError: no adapter is registered for the case's method, it cannot be imported, or the case does not fit it.
    """
    require_adapters([case])
    compute = adapters()[case.method]()
    try:
        with computing_on(device):
            return compare_outputs(case, compute(case))
    except UserError:
        raise
    except Exception as error:  # a case of another shape than its adapter expects may break it anywhere
        reason = str(error).split("\n")[0][:200]
        raise UserError(f"{case.path}: {case.method} cannot compute it ({type(error).__name__}: {reason})") from error


def compare_outputs(case: Case, computed: Computed) -> CaseResult:
    """Compare what was computed with the case's expected values, within its `tolerance` field.

    Outputs are relative to the largest absolute value of that output; gradient norms and norms of a change are
    relative per parameter; what the case names under `absolute` must be below that value on both sides.

    Raises:
        UserError: the case expects nothing.
    """
    spec = case.spec
    errors = [_output_error(case, name, value, computed.outputs) for name, value in case.expected.items()]
    for kind, key, ours in (
        ("gradnorm", "expected_gradnorm", computed.gradnorm),
        ("step_delta", "expected_step1_delta_norm", computed.step_delta),
        ("final_delta", "expected_final_delta_norm", computed.final_delta),
    ):
        errors += [
            _norm_error(case, f"{kind}/{name}", value, ours.get(name)) for name, value in spec.get(key, {}).items()
        ]
    if not errors:
        raise UserError(f"{case.path / 'expected.npz'}: the case expects nothing, so there is nothing to compare")
    small = {name for name, value in case.expected.items() if value.size == 1 or name.startswith("total")}
    losses = frozenset(small if case.kind in ("loss", "train") else ())
    source = str(spec.get("source", ""))
    return CaseResult(case.path.resolve().name, case.method, source, tuple(errors), losses, case.kind)


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
