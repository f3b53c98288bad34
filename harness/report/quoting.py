"""Text of others in every kind of file that a report writes: one function for each, and no other way in."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.printable import printable

# What makes a spreadsheet read a cell as a formula, in the widths that keyboards have, behind blanks and quotes.
_FORMULA = re.compile(r"""[\s"'`]*[=+\-@|\uff1d\uff0b\uff0d\uff20]""")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# At the beginning of a Markdown line: items of lists, and lines that make a heading of the one above.
_BLOCK = re.compile(r"^(\d*)([.)](?=\s|$)|[-+](?=\s)|=+$|-{2,}$)")

_TEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {c: "\\" + c for c in "&%$#_{}"} | {"·": r"$\cdot$", "<": r"$<$", ">": r"$>$", "|": r"$|$"}
# Behind `\\` these would be its argument.
_TEX |= {c: f"{{{c}}}" for c in "[]*"}


def line(text: str) -> str:
    """Return `text` as one printable line."""
    return " ".join(printable(text).split())


def csv_cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file; text that a spreadsheet would run begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if _FORMULA.match(shown) and not _NUMBER.fullmatch(shown) else shown


def tex_text(text: str) -> str:
    """Return text that LaTeX sets as it is, also at the beginning of a row."""
    # A letter that plain LaTeX has no glyph for would stop it.
    return "".join(_TEX.get(c, c if ord(c) < 0x180 else f"{{[}}U+{ord(c):04X}{{]}}") for c in line(text))


def bibtex_text(text: str) -> str:
    """Return text for a field in braces, which ends at a brace too many."""
    kept = "".join(c for c in line(text) if c not in "{}\\")
    return re.sub(r"[\^~]", r"\\\g<0>{}", re.sub(r"[&%$#_]", r"\\\g<0>", kept))


def md_text(text: str) -> str:
    """Return text that Markdown shows as it is, also where a viewer renders HTML or formulas."""
    escaped = re.sub(r"([\\`*_|\[\]~$#])", r"\\\1", html.escape(line(text), quote=False))
    return _BLOCK.sub(r"\1\\\2", escaped)


def md_row(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(map(md_text, cells)) + " |"


def md_head(cells: Sequence[str], rules: Sequence[str]) -> list[str]:
    """Return the lines that begin a Markdown table; a rule is "---" for text, "---:" for what stands at the right."""
    return [md_row(cells), "| " + " | ".join(rules) + " |"]


def script_json(value: Any) -> str:
    """Return JSON for a script element, which ends at "</" and changes its meaning at "<!--"."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    # Whatever is not shown is written as an escape; most values hold none, and are many.
    if "\\" in text.replace("\\\\", ""):
        text = json.dumps(_shown(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


# By the key of a template in its folder. What changed since is compiled again: what is kept begins with a checksum.
_COMPILED: dict[str, bytes] = {}


def html_environment(folder: Path) -> Any:
    """Return the Jinja environment of the templates in `folder`, which show every value as text."""
    import jinja2

    class Compiled(jinja2.BytecodeCache):
        """What templates were compiled to in this process, which may make several reports."""

        def load_bytecode(self, bucket: Any) -> None:
            if bucket.key in _COMPILED:
                bucket.bytecode_from_string(_COMPILED[bucket.key])

        def dump_bytecode(self, bucket: Any) -> None:
            _COMPILED[bucket.key] = bucket.bytecode_to_string()

    return jinja2.Environment(
        bytecode_cache=Compiled(),
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        finalize=_finalized,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _finalized(value: Any) -> Any:
    """A value of a template; markup, which templates themselves have made, stays as it is."""
    return printable(value, keep="\n\t") if type(value) is str else value


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_shown(key): _shown(part) for key, part in value.items()}
    return [_shown(part) for part in value] if isinstance(value, Sequence) else value
