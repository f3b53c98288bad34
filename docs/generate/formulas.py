"""Formulas as MathML, which browsers show without a script."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

# Both forms are those that a forge's own Markdown shows as formulas too.
_BLOCK = re.compile(r"^```math\n(.+?)\n```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"\$`([^`]+)`\$")


def rendered(markdown: str) -> str:
    """Return a page with its blocks ```` ```math ```` and its inline formulas in MathML."""
    markdown = _BLOCK.sub(lambda found: f'<div class="formula">{convert(found[1], display="block")}</div>', markdown)
    # In a span, because Markdown takes another element at the start of a line for a block.
    return _INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", markdown)
