"""How a command ends: whatever stops it is told in one line, with the exit code that the line deserves."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from harness.errors import HarnessError
from harness.printable import printable

INTERRUPTED = 130
# What a system says of itself, wherever in the code it is met.
_EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}


@contextmanager
def ending(debug: bool) -> Iterator[None]:
    """Tell what stops the command inside in one line on standard error, and exit: 1 failed, 2 wrong input.

    Exit code 130: interrupted. With `debug` the traceback comes first. What is none of the user's or the system's
    business is a defect of the harness and is raised as it is.
    """
    try:
        yield
    except KeyboardInterrupt:
        # Whoever asks again does not wait for what Python does when it ends.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if debug:
            traceback.print_exc()
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        text, code = told
        if debug:
            traceback.print_exc()
        if text:
            print(text, file=sys.stderr)
        sys.exit(code)


def _told(error: Exception) -> tuple[str, int] | None:
    """The line for an error and its exit code; None where it is a defect."""
    if isinstance(error, HarnessError):
        return f"error: {error}", error.exit_code
    if hasattr(error, "format_message"):  # of the library that parses the command line, whichever it is
        return _usage(error), 2
    if isinstance(error, UnicodeEncodeError):
        shown = printable(str(error.object))
        return f"error: {shown!r}: this locale has no such letters ({error.encoding}); set LC_ALL=C.UTF-8", 2
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _EXHAUSTED):
        path = f"{printable(str(error.filename))}: " if error.filename is not None else ""
        return f"error: {path}cannot be read or written ({error.strerror or type(error).__name__})", 2
    if isinstance(error, MemoryError):
        return "error: out of memory", 1
    return None


def _usage(error: Any) -> str:
    message, context = printable(error.format_message()).rstrip("."), getattr(error, "ctx", None)
    if not message:  # it has shown the help already
        return ""
    return f"error: {message}" + (f"; see `{context.command_path} --help`" if context else "")
