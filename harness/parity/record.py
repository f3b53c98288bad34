"""How faithful a method is: which parity cases its present code passed, told apart by what they prove.

A case counts once, under the furthest stage that it reaches. *forward*: outputs for given weights (`eval`, `pool`).
*gradients*: the terms of a loss and its gradients, and with them that forward pass (`loss`). *training*: what optimizer
steps make of the weights under the official schedules, and with them all that a step needs (`train`), or optimizers and
schedules by themselves (`optim`).

Outcomes are kept by the hash of what the method's own sources compute, so a badge never outlives the code it was
earned with, and survives a comment.
`reports/parity.json` holds those of the methods that ship with the harness, `HARNESS_HOME/parity.json` the user's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.errors import UserError
from harness.identity.code import method_hash
from harness.io.atomic import read_json, write_json
from harness.paths import harness_home, report_assets_dir
from harness.registry import method_class, method_names

if TYPE_CHECKING:
    from harness.parity.cases import CaseResult
    from harness.plugin.method import Method

_STAGES = {"eval": "forward", "pool": "forward", "loss": "gradients", "optim": "training", "train": "training"}


class _Case(BaseModel):
    kind: str = ""
    source: str
    ok: bool
    worst: dict[str, Any]


class _Proven(BaseModel):
    """The outcomes, by case, of one state of a method's code."""

    code: str
    cases: dict[str, _Case]


_RECORD = TypeAdapter(dict[str, _Proven])
Record = dict[str, Any]


def own_record() -> Path:
    """File that `harness parity` writes unless told otherwise."""
    return harness_home() / "parity.json"


def shipped_record() -> Path:
    """File with the outcomes of the methods that ship with the harness."""
    return report_assets_dir() / "parity.json"


def keep(results: Iterable[CaseResult], path: Path) -> None:
    """Add outcomes to the record in `path`; those of other code of the same method are dropped.

    Raises:
        Unwritable: the file cannot be written.
    """
    record = _read(path)
    known = set(method_names())
    for result in results:
        if result.method in known:
            code = method_hash(method_class(result.method))
            if record.get(result.method, {}).get("code") != code:
                record[result.method] = {"code": code, "cases": {}}
            record[result.method]["cases"][result.case] = {
                "kind": result.kind,
                "source": result.source,
                "ok": result.ok,
                "worst": result.worst.as_json(),
            }
    write_json(path, {name: record[name] for name in sorted(record)})


def fidelity(method: type[Method], own: bool = True) -> str:
    """Return "forward 2/2 · gradients 1/1 · training 2/2": cases passed and run with this very code.

    A stage without cases is left out; where no case was run it is "". Without `own`, only what ships with the harness
    counts, which is the same on every machine.

    Raises:
        UserError: a record is damaged.
    """
    from harness.parity.case import kind_of

    code = method_hash(method)
    cases: Record = {}
    for path in (shipped_record(), own_record()) if own else (shipped_record(),):
        entry = _read(path).get(method.card.name, {})
        if entry.get("code") == code:
            cases |= entry["cases"]
    passed: dict[str, list[bool]] = {stage: [] for stage in _STAGES.values()}
    for name, case in cases.items():
        # Records of older versions have no kinds; the names of their cases tell them.
        kind = case.get("kind") or kind_of(name)
        passed[_STAGES.get(kind, "forward")].append(case["ok"])
    return " · ".join(f"{stage} {sum(each)}/{len(each)}" for stage, each in passed.items() if each)


def counts(badge: str) -> tuple[int, int]:
    """Return how many cases a badge says were passed, and how many were run; older badges read "parity 3/3"."""
    pairs = re.findall(r"(\d+)/(\d+)", badge)
    return sum(int(passed) for passed, _ in pairs), sum(int(cases) for _, cases in pairs)


def weakest(badges: Iterable[str]) -> str:
    """Return the badge with most failed cases, and of several the one with fewest cases; none is less than any."""

    def strength(badge: str) -> tuple[bool, int, int]:
        passed, cases = counts(badge)
        return cases > 0, passed - cases, passed

    return min(badges, key=strength)


def _read(path: Path) -> Record:
    record: Record = read_json(path) if path.exists() else {}
    try:
        _RECORD.validate_python(record, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise UserError(f"{path}: field {where}: {first['msg']}; record it again with `harness parity`") from error
    return record
