"""One order from start to result: whatever its method does, the answer is a result."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from harness.errors import HarnessError, Unwritable
from harness.execute import execute
from harness.order import Order, job_of
from harness.provenance import provenance
from harness.spec import RunResult

# Lines of a failed run's log that go with its result.
TAIL = 40


def perform(order: Order, say: Callable[[str], None], tick: Callable[[int, int], None]) -> RunResult:
    """Compute an order and return its result, a failed one if anything of it raised.

    Raises:
        Unwritable: the output directory refused a write.
    """
    job = None
    try:
        job = job_of(order)
        return execute(job, fresh=order.fresh, say=say, progress=tick)
    except Unwritable:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        if job is not None:
            if not isinstance(error, HarnessError):
                job.log(traceback.format_exc())
            job.log(f"failed: {text}")
        return failed(order, text)


def failed(order: Order, error: str) -> RunResult:
    """The result of an order that gave none."""
    log = log_tail(order.out / ".work" / order.run / "log.txt")
    return RunResult.of(order.spec, "failed", error=error, log=log, provenance=provenance())


def log_tail(path: Path) -> str:
    """The last lines of a log, "" if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL:])
