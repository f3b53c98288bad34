"""Protocols of extraction by name or file."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import yaml
from pydantic import ValidationError

from harness.data.card_errors import explain
from harness.errors import UserError
from harness.paths import protocols_dir
from harness.records.protocol import Protocol

_FILE = (".yaml", ".yml")


def protocol_names() -> tuple[str, ...]:
    """Names of the protocols that ship with the harness, sorted."""
    return tuple(sorted(path.stem for path in protocols_dir().glob("*.yaml")))


def find_protocol(name: str) -> Protocol:
    """Return a protocol by its name, or the one in a YAML file.

    Raises:
        UserError: there is none of this name, the file cannot be read, or fields of it are wrong.
    """
    if name.endswith(_FILE):
        return read_protocol(Path(name))
    if name in (known := protocol_names()):
        return read_protocol(protocols_dir() / f"{name}.yaml")
    near = [f"./{name}{end}" for end in _FILE if os.path.isfile(name + end)]
    near = near or difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    raise UserError(f"unknown protocol {name!r}{hint} Known: {', '.join(known)}, or the path of a protocol's YAML file")


def read_protocol(path: Path) -> Protocol:
    """Return the protocol in a YAML file; raises UserError as `find_protocol`."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such protocol file") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: no protocol; expected fields such as name, frames, picture and crops")
    try:
        return Protocol.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, Protocol)}") from error
