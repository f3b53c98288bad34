"""Errors that end in one clear line for the user."""

from __future__ import annotations

from harness.printable import printable


class HarnessError(Exception):
    """Base of every error the harness raises on purpose; its text is one complete line.

    Whatever a name or value in it may hold (line breaks, a terminal's control codes): it is shown as printable text.
    """

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UserError(HarnessError):
    """The input was wrong: the text names the file, field or value, what was expected and what to do."""

    exit_code = 2


class Damaged(UserError):
    """A file is not what was written; the text names it and says how it is had again."""


class Unwritable(UserError):
    """A file or directory cannot be written: read-only, missing rights, disk full. It stops the whole command."""


class Unsupported(UserError):
    """A method cannot run on this feature set; the text says what it needs."""


class Diverged(HarnessError):
    """A loss or gradient became NaN or infinite; the text names the step and the term."""


class BrokenMethod(UserError):
    """A method does not keep its contract, or its code failed; the text says which method, what must be and what is."""


def one_line(error: BaseException) -> str:
    """Return the kind and the text of an error on one line, the kind alone where it has no text or cannot tell it."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # of a third party, whose class writes its text itself
        text = ""
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
