"""What of a source file computes, as one hash: its syntax tree without what only people read.

Comments, docstrings, formatting and imports for type checkers alone change nothing here; every name, number and
operator does. The hash is the same under every version of Python that reads the file.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from dataclasses import dataclass

from harness.io.digests import digest


@dataclass(frozen=True)
class Import:
    """`import module`, or `from module import names` with `level` dots before the module; names may be ("*",)."""

    module: str
    level: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Syntax:
    """The hash of a file's syntax, the imports in it wherever they stand, and the strings in it.

    `searches`: it also imports modules whose names it computes.
    """

    digest: str
    imports: tuple[Import, ...] = ()
    strings: frozenset[str] = frozenset()
    searches: bool = False


@functools.cache
def syntax_of(source: bytes) -> Syntax:
    """Return the syntax of a source file; of one that this Python cannot read, the hash of its bytes."""
    reader = _Reader()
    try:
        reader.read(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last where it is nested too deep
        return Syntax(digest(source))
    return Syntax(digest("\n".join(reader.words)), tuple(reader.imports), frozenset(reader.strings), reader.searches)


class _Reader:
    """Goes through a tree once and writes it down as words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.imports: list[Import] = []
        self.strings: set[str] = set()
        self.searches = False

    def read(self, node: ast.AST) -> None:
        """Write a node: its kind, its fields that are not empty (newer versions of Python have more), an end."""
        if isinstance(node, ast.Constant):
            self._constant(node)
            return
        if isinstance(node, ast.Expr) and _string(node.value) is not None:  # a docstring, or one of an attribute
            return
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                self.read(other)
            return
        if isinstance(node, ast.JoinedStr):  # Python 3.12 puts empty strings into it
            node.values = [part for part in node.values if _string(part) != ""]
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Call)):
            self._note_import(node)
        self.words.append(type(node).__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name == "ctx":  # whether a name is read or set, its place tells
                continue
            self.words.append(name)
            if isinstance(value, list):
                self._list(value)
            elif isinstance(value, ast.AST):
                self.read(value)
            else:
                self.words.append(ascii(value))
        self.words.append(")")

    def _list(self, values: Iterable[object]) -> None:
        for value in values:
            if isinstance(value, ast.AST):
                self.read(value)
            else:
                self.words.append(ascii(value))
        self.words.append("]")

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, str):
            self.strings.add(value)
        # `ascii`, because what `repr` escapes depends on the version; `hex`, because `repr` refuses very long numbers.
        self.words.append(f"={hex(value) if type(value) is int else ascii(value)}")

    def _note_import(self, node: ast.Import | ast.ImportFrom | ast.Call) -> None:
        if isinstance(node, ast.Import):
            self.imports += [Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            self.imports.append(Import(node.module or "", node.level, tuple(alias.name for alias in node.names)))
        elif _last_name(node.func) in ("import_module", "__import__"):
            module = _string(node.args[0]) if node.args else None
            if module is None:
                self.searches = True
            else:
                named = module.lstrip(".")
                self.imports.append(Import(named, len(module) - len(named)))


def _last_name(node: ast.expr) -> str:
    """`name` of the expressions `name` and `module.name`, "" of others."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _string(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
