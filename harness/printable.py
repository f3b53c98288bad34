"""What a line of text may hold wherever people read it: letters, and nothing that a terminal or a page obeys."""

from __future__ import annotations

UNSHOWN = "\ufffd"
# What a text of several lines keeps.
LINES = "\n\t"


def printable(text: str, keep: str = "") -> str:
    """Return `text` with every character that is not shown replaced: white space by a space, others by U+FFFD.

    Escape sequences and other control codes, marks that turn the direction of writing, characters of no width and
    halves of characters (what stands for bytes of a file name that are no text) then are seen, and do nothing.
    Characters of `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else " " if c.isspace() else UNSHOWN for c in text)


def shortened(text: str, most: int = 80) -> str:
    """Return `text` as printable text of at most `most` characters, the last one an ellipsis where it was cut."""
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
