"""One damaged file in front of its reader: it may be read or refused in one line, nothing else."""

from __future__ import annotations

import contextlib
import resource
import signal
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from harness.errors import HarnessError
from harness.io.digests import digest
from tests.fuzz.targets import Target

# A reader of a file of some kilobytes needs none of these: seconds of the processor, which a busy machine does not make
# more of, seconds on the clock for one that only waits, and bytes.
SECONDS, WAITING, MEMORY = 30, 600, 2 << 30


class Hung(BaseException):
    """The reader did not come back; no handler of the reader's own catches this."""


def defect(target: Target, root: Path, marker: Path) -> str | None:
    """Return what is wrong with how the target read what lies in `root`; None if nothing is."""
    try:
        with _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(root)
    except HarnessError as error:
        text = str(error)
        if not text.strip() or len(text.splitlines()) != 1:
            return f"not one line: {text!r}"
    except (Exception, Hung):
        return traceback.format_exc()
    return "code was executed" if marker.exists() else None


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Raise `Hung` after some seconds, and let allocations fail that no such file can need."""

    def hung(_: int, frame: FrameType | None) -> None:
        raise Hung(f"no end after {SECONDS} s of the processor, or {WAITING} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = {signal.ITIMER_PROF: (signal.SIGPROF, SECONDS), signal.ITIMER_REAL: (signal.SIGALRM, WAITING)}
    before = {number: signal.signal(number, hung) for number, _ in limits.values()}
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    for timer, (_, seconds) in limits.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in limits:
            signal.setitimer(timer, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in before.items():
            signal.signal(number, handler)


FOUND = Path(__file__).resolve().parent / "found"


def keep(name: str, file: str, content: bytes) -> Path:
    """Keep what a reader stumbled over; `file` is its path below the target's directory."""
    path = FOUND / f"{name}--{file.replace('/', '+')}--{digest(content)[:8]}"
    FOUND.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def kept() -> list[tuple[str, str, Path]]:
    """Return target, file and content of everything that was kept."""
    found = []
    for path in sorted(FOUND.iterdir()) if FOUND.is_dir() else []:
        name, file, _ = path.name.split("--")
        found.append((name, file.replace("+", "/"), path))
    return found
