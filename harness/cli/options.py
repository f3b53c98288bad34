"""Options that several verbs share, and how their text is read. Heavy imports stay inside the functions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import UserError
from harness.printable import shortened
from harness.runs.devices import device as device
from harness.runs.devices import precision as precision

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        file_okay=False,
        help="Directory of runs and of the default MLflow store.",
        callback=lambda path: _named_in_utf8(path),
    ),
]
# Where runs are read alone.
OutRead = Annotated[Path | None, typer.Option("--out", help="Directory of runs; default: runs.")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow server; default: MLFLOW_TRACKING_URI, else SQLite in --out."),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="METHOD.key=value, may be repeated.")]
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
Precision = Annotated[str, typer.Option("--precision", help="fp32, tf32 (CUDA only) or bf16.")]
TextTower = Annotated[
    str | None,
    typer.Option("--text-tower", help="CLIP text weights: directory or hub id; default: a seeded tower."),
]


def _named_in_utf8(path: Path) -> Path:
    """Return a path that MLflow, JSON and a screen can show; raises UserError for another."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"--out {str(path)!r}: its path is not UTF-8; choose another directory") from error
    return path


def renamed(old: str, new: str, value: Any) -> Any:
    """Return the value of an option that has a new name, and say that the old one will go."""
    from harness.console import say

    say(f"{old} is now {new}; the old spelling works until the next minor version")
    return value


def memory_size(option: str, text: str | None) -> int | None:
    """Return the bytes that "500MB", "4GB" or "3.5GiB" mean; raises UserError for other words."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(M|G|T)(i?)B", text.strip(), re.ASCII)
    size = float(found[1]) * (1024 if found[3] else 1000) ** (2 + "MGT".index(found[2])) if found else 0.0
    if size < 1:
        raise UserError(f"{option} {text!r}: expected a size such as 500MB, 4GB or 3.5GiB")
    return int(size)


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    """Return `value`, which must be one of `allowed`; raises UserError."""
    if value not in allowed:
        raise UserError(f"{option} {value!r}: expected {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def words(option: str, text: str) -> list[str]:
    """Return the words of a comma-separated list, each once; raises UserError if there is none."""
    found = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not found:
        raise UserError(f"{option} {text!r}: is empty")
    return found


def seeds(text: str) -> tuple[int, ...]:
    """Return the numbers of a comma-separated list; raises UserError if one is none. What seeds may be, a plan says."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise UserError(f"--seeds {shortened(text)!r}: expected distinct integers such as 0,1,2") from error


def overrides(words: list[str]) -> dict[str, dict[str, Any]]:
    """Return method -> config key -> value of `--set` words; raises UserError if one is not METHOD.key=value."""
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        name, key, text = _setting("--set", word, "dsanet.epochs=2")
        for method in name:
            found.setdefault(method, {})[key] = _value("--set", word, text)
    return found


def sweeps(words: list[str]) -> dict[str, dict[str, list[Any]]]:
    """Return method -> config key -> values of `--sweep` words; raises UserError if one is not METHOD.key=a,b,..."""
    found: dict[str, dict[str, list[Any]]] = {}
    for word in words:
        name, key, text = _setting("--sweep", word, "dsanet.lr=1e-5,2e-5")
        # Inside brackets a comma separates the parts of one value: (64,128),(128,256).
        values = [_value("--sweep", word, part) for part in re.split(r",(?![^\[(]*[\])])", text)]
        for method in name:
            found.setdefault(method, {})[key] = values
    return found


def _setting(option: str, word: str, example: str) -> tuple[list[str], str, str]:
    from harness.registry import resolve

    target, equals, text = word.partition("=")
    method, dot, key = target.partition(".")
    if not (equals and dot and method and key):
        raise UserError(f"{option} {word!r}: expected METHOD.key=value, for example {example}")
    return list(resolve(method)[0]), key, text


def _value(option: str, word: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{option} {word!r}: {text!r} is not a value") from error
