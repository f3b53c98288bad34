"""Standard input, output and error as they happen to be: closed, without an alphabet, full, with a reader that left."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast

from harness.errors import Unwritable


@contextmanager
def any_streams() -> Iterator[None]:
    """Let a command print whatever its standard streams are.

    Letters that a stream's encoding lacks are written as "?". Where the reader goes away (`| head -1`) nothing more is
    printed, and the command ends as it would have. Closed streams read and write nothing.

    Raises:
        Unwritable: a stream refuses what is printed, as a full disk does.
    """
    _open_closed()
    with ExitStack() as stack:
        outputs = [("standard output", sys.stdout, redirect_stdout), ("standard error", sys.stderr, redirect_stderr)]
        for name, stream, redirect in outputs:
            if stream is None:
                stack.enter_context(redirect(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
                continue
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
            output = _Output(stream, name)
            stack.enter_context(redirect(cast(TextIO, output)))
            stack.callback(output.finish)
        yield


def _open_closed() -> None:
    """Point descriptors 0, 1 and 2 at nothing where they are closed: a file opened later would take their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)


class _Output:
    """A text stream whose writes do not fail because nobody reads them."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._patient():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._patient():
            self._stream.flush()

    def finish(self) -> None:
        """Flush, when it is too late to tell that it could not."""
        with suppress(Unwritable):
            self.flush()

    @contextmanager
    def _patient(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._discard()
        except OSError as error:
            self._discard()
            raise Unwritable(f"{self._name}: cannot be written ({error.strerror or error})") from error

    def _discard(self) -> None:
        """Send what waits to be written, and all that comes, nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError, ValueError):  # a stream without a descriptor has nothing that waits
            os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
