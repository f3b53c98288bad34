"""A method's card. Apart from `harness.plugin.method`, so that cards can be read without torch."""

from __future__ import annotations

import ast
import contextlib
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.records.track import Track


class MethodCard(BaseModel):
    """Who a method is and what it needs. Data only.

    `name` is that of its entry point. `source` is the official code as `owner/repository@commit`; `published_as` is its
    name in `reports/published.csv`.
    `parameters` is the official model's count at its official size, without frozen towers. `feature_dims` lists the
    widths it can run on (empty: any). `input_scale` says what it expects of the features. A method whose training was
    never published is `inference-only`: it runs from an official checkpoint. `bounded`: scores lie in [0, 1].
    `track` is the kind of supervision and input that it works with; no leaderboard mixes two of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    family: Literal["mil", "clip", "floor"]
    aliases: tuple[str, ...] = ()
    paper: str = ""
    venue: str = ""
    year: int | None = None
    arxiv: str = ""
    source: str = ""
    published_as: str = ""
    parameters: int | None = None
    needs_text: bool = False
    feature_dims: tuple[int, ...] = ()
    input_scale: str = "any"
    training: Literal["gradient", "closed-form", "none", "inference-only"] = "gradient"
    bounded: bool = True
    track: Track = "weak"


def card_in_source(entry: EntryPoint) -> MethodCard | None:
    """Return the card that the class of an entry point states in literals, read from its file without importing it.

    None if the card is made in another way, is wrong, or the file is not found: then the class itself has to tell.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = find_spec(entry.module)
        if found is None or found.origin is None:
            return None
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
        return MethodCard(**_literals(tree, entry.attr))
    except (Exception, SystemExit):  # looking for a module imports its package, which may do anything
        return None


def _literals(tree: ast.Module, name: str) -> dict[str, Any]:
    """Keyword arguments of `card = MethodCard(...)` in the class `name`; raises LookupError or ValueError."""
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name == name):
            continue
        for line in node.body:
            if not (isinstance(line, ast.Assign) and isinstance(line.value, ast.Call)):
                continue
            call = line.value
            if ast.unparse(line.targets[0]) == "card" and ast.unparse(call.func) == "MethodCard" and not call.args:
                return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    raise LookupError(name)
