"""How faithful a method is: which parity cases its present code passed.

Outcomes are kept by the hash of what the method's own sources compute, so a badge never outlives the code it was
earned with, and survives a comment.
`reports/parity.json` holds those of the methods that ship with the harness, `HARNESS_HOME/parity.json` the user's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness.code_identity import method_hash
from harness.errors import UserError
from harness.files import read_json, write_json
from harness.method import Method
from harness.parity import CaseResult
from harness.paths import harness_home, report_assets_dir
from harness.registry import method_class, method_names


class _Case(BaseModel):
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
                "source": result.source,
                "ok": result.ok,
                "worst": result.worst.as_json(),
            }
    write_json(path, {name: record[name] for name in sorted(record)})


def fidelity(method: type[Method]) -> str:
    """Return "parity 3/3" (cases passed and run with this very code), or "" where none was run.

    Raises:
        UserError: a record is damaged.
    """
    code = method_hash(method)
    cases: Record = {}
    for path in (shipped_record(), own_record()):
        entry = _read(path).get(method.card.name, {})
        if entry.get("code") == code:
            cases |= entry["cases"]
    return f"parity {sum(case['ok'] for case in cases.values())}/{len(cases)}" if cases else ""


def _read(path: Path) -> Record:
    record: Record = read_json(path) if path.exists() else {}
    try:
        _RECORD.validate_python(record, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise UserError(f"{path}: field {where}: {first['msg']}; record it again with `harness parity`") from error
    return record
