"""Which methods have passed the shared check, `harness check-method`, with their present code.

A pass is kept by the hash of what the method's own sources compute, so it never outlives the code it was earned with.
`reports/checked.json` holds those of the methods that ship with the harness, `HARNESS_HOME/checked.json` the user's
own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from harness.errors import UserError
from harness.identity.code import code_hash, method_hash
from harness.io.atomic import check_room, read_json, write_json
from harness.paths import harness_home, report_assets_dir
from harness.records.result import RunResult
from harness.registry import method_class

if TYPE_CHECKING:
    from harness.plugin.method import Method

# The field of a result's provenance, and what it says where the check was passed.
FIELD, PASSED = "checked", "passed"


class _Pass(BaseModel):
    """The state of a method's code that passed, with the checks that were made; a skipped one did not apply here."""

    model_config = ConfigDict(extra="ignore")

    code: str
    checks: dict[str, str]


_RECORD = TypeAdapter(dict[str, _Pass])


def own_record() -> Path:
    """File that `harness check-method` writes unless told otherwise."""
    return harness_home() / "checked.json"


def shipped_record() -> Path:
    """File with the passes of the methods that ship with the harness."""
    return report_assets_dir() / "checked.json"


def check_record(path: Path) -> None:
    """Raise UserError, before a check takes its time, where no pass could be kept in `path`."""
    _read(path)
    check_room(path.parent)


def keep(method: type[Method], checks: dict[str, str], path: Path) -> None:
    """Record in `path` what each check said of a method, by its name; with a failed one the pass is taken away.

    Raises:
        UserError: the record is damaged.
        Unwritable: the file cannot be written.
    """
    record = {name: entry.model_dump() for name, entry in _read(path).items() if name != method.card.name}
    if "failed" not in checks.values():
        record[method.card.name] = {"code": method_hash(method), "checks": checks}
    elif not path.exists():
        return
    write_json(path, {name: record[name] for name in sorted(record)})


def checked(method: type[Method]) -> str:
    """Return "passed" if the method passed with this very code, else "".

    Raises:
        UserError: a record is damaged.
    """
    code = method_hash(method)
    entries = (_read(path).get(method.card.name) for path in (shipped_record(), own_record()))
    return PASSED if any(entry is not None and entry.code == code for entry in entries) else ""


def unchecked(result: RunResult) -> bool:
    """Whether nothing says that a result's method passed: neither the result itself nor a check of that code here."""
    if result.provenance.get(FIELD) == PASSED:
        return False
    return result.spec is None or here(result.spec.method, result.spec.code) != PASSED


def here(name: str, code: str) -> str:
    """Return "passed" if the method of this name is installed with the code of this hash, and passed; else ""."""
    try:
        method = method_class(name)
        return checked(method) if code_hash(method) == code else ""
    except (KeyError, UserError):
        return ""


def _read(path: Path) -> dict[str, _Pass]:
    if not path.exists():
        return {}
    try:
        return _RECORD.validate_python(read_json(path))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "file"
        problem = f"field {where}: {error.errors()[0]['msg']}"
        raise UserError(f"{path}: {problem}; delete it and run `harness check-method` again") from error
