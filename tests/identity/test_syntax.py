"""The hash of a file's syntax: blind to what only people read, sharp for what computes, the same everywhere."""

from __future__ import annotations

import pytest

from harness.identity.syntax import Import, syntax_of

SOURCE = '''"""A module."""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from . import helper
from ..common import scale as by

if TYPE_CHECKING:
    import typing_only
else:
    import instead

WORDS = ["a", 'b', f"{math.pi!r:>{8}} {helper=}", b"bytes", None, ..., 1e-3, 2j, 0xFF, True]


class Thing(helper.Base, metaclass=type):
    """A thing."""

    size: int = 3
    """How large it is."""

    def grow(self, by, /, *, to: float | None = None, **rest: int) -> float:
        """Return the size."""
        from .lazy import late

        match rest:
            case {"a": 1, **others} if others:
                return {**rest, "é": late[1:2, ...]}[None]
            case [None, *_] | Thing(size=2):
                return (lambda x=1: -x)(x=by)
        return (size := self.size) if to is None else to
'''
SAME = {
    "comment": (SOURCE, SOURCE.replace("size: int = 3", "size: int = 3  # metres")),
    "docstring of a module": (SOURCE, SOURCE.replace("A module.", "This module.")),
    "docstring of a class": (SOURCE, SOURCE.replace("A thing.", "Some thing.")),
    "docstring of a function": (SOURCE, SOURCE.replace('        """Return the size."""\n', "")),
    "docstring of a field": (SOURCE, SOURCE.replace("How large it is.", "Its size.")),
    "quotes, spaces and line breaks": ("x = f('a', 1)", 'x = f(\n    "a",\n    1,\n)'),
    "how a number is written": ("x = 1000, 255, 0.001", "x = (1_000, 0xFF, 1e-3)"),
    "import for type checkers": (SOURCE, SOURCE.replace("import typing_only", "import typing_only, another")),
    "new import for type checkers": ("x = 1", "if typing.TYPE_CHECKING:\n    import y\nx = 1"),
}
OTHER = {
    "number": (SOURCE, SOURCE.replace("size: int = 3", "size: int = 4")),
    "kind of number": ("x = 1", "x = 1.0"),
    "truth": ("x = 1", "x = True"),
    "sign": (SOURCE, SOURCE.replace("-x)", "+x)")),
    "operator": ("x = a < b", "x = a <= b"),
    "default": (SOURCE, SOURCE.replace("lambda x=1", "lambda x=2")),
    "name": (SOURCE, SOURCE.replace("else to", "else by")),
    "string": (SOURCE, SOURCE.replace('["a"', '["c"')),
    "string like a name": ("x = 'Ellipsis'", "x = ..."),
    "format": (SOURCE, SOURCE.replace("{8}", "{9}")),
    "nothing": ("return_ = f(None)", "return_ = f()"),
    "order": ("a = 1\nb = 2", "b = 2\na = 1"),
    "nesting": ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
    "without type checkers": (SOURCE, SOURCE.replace("import instead", "import other")),
    "argument": ("f(a, b)", "f((a, b))"),
    "keyword": ("f(a=b)", "f(b)"),
    "annotation": (SOURCE, SOURCE.replace("size: int", "size: float")),
}


def of(text: str) -> str:
    return syntax_of(text.encode()).digest


@pytest.mark.parametrize("change", SAME)
def test_words_change_nothing(change: str) -> None:
    before, after = SAME[change]
    assert before != after
    assert of(before) == of(after)


@pytest.mark.parametrize("change", OTHER)
def test_what_computes_changes_it(change: str) -> None:
    before, after = OTHER[change]
    assert of(before) != of(after)


def test_it_is_the_same_under_every_version_of_python() -> None:
    assert of(SOURCE) == "03058c1b525bdc20d9042410830d33ed068754f66d115a834344c8664c67621e"


def test_imports_are_found_wherever_they_stand() -> None:
    found = syntax_of(SOURCE.encode())
    assert found.imports == (
        Import("__future__", 0, ("annotations",)),
        Import("math"),
        Import("typing", 0, ("TYPE_CHECKING",)),
        Import("", 1, ("helper",)),
        Import("common", 2, ("scale",)),
        Import("instead"),
        Import("lazy", 1, ("late",)),
    )
    assert not found.searches
    dynamic = syntax_of(b"importlib.import_module('.a.b', __package__)\n__import__('c')\nimport_module(name)")
    assert dynamic.imports == (Import("a.b", 1), Import("c"))
    assert dynamic.searches


def test_a_file_that_python_cannot_read_counts_by_its_bytes() -> None:
    assert of("print 'old'") != of("print 'old' # comment")
    assert of("x = " + "-" * 100_000 + "1") == of("x = " + "-" * 100_000 + "1")
