"""One order from start to what it computed: whatever its method does, the answer is one of two kinds."""

from __future__ import annotations

import contextlib
import signal
import traceback
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, Unwritable, one_line
from harness.printable import LINES, printable
from harness.records.label_access import withheld
from harness.records.log_lines import moment_of
from harness.records.result import RunResult
from harness.runs.computation import Judge, Tick
from harness.runs.machine_sampling import sampled
from harness.runs.method_side import COMPUTED, Computed, append_log, execute_job, now
from harness.runs.order import Order, bank_of, job_of
from harness.runs.provenance import provenance

# Lines of a failed run's log that go with its result.
TAIL = 40


@dataclass(frozen=True)
class Failure:
    """Why an order gave no result, and the end of its log."""

    error: str
    log: str = ""


def perform(order: Order, judge: Judge, tick: Tick) -> Computed | Failure:
    """Compute an order; return what is to be scored, or a failure if anything of it raised, of whatever type."""
    try:
        bank = bank_of(order)
        with withheld():  # from here on code of the method may run, first of all when it is imported
            job = job_of(order, bank)
            with sampled(job.workspace / COMPUTED) if order.watched else contextlib.nullcontext():
                return execute_job(job, judge, fresh=order.fresh, progress=tick)
    except BaseException as error:  # of whatever type: nothing that a method raises is more than its run's failure
        # Where Ctrl-C is ignored, as in a worker, nobody but the method can have raised it.
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            raise
        return broken(order, error)


def broken(order: Order, error: BaseException) -> Failure:
    """The failure of an order that raised, with a traceback in its log unless the error is one of the harness's."""
    text = words(error)
    with contextlib.suppress(Unwritable):  # the failure is told without its log then
        if not isinstance(error, HarnessError):
            append_log(order.workspace, "".join(traceback.format_exception(error)))
        append_log(order.workspace, f"failed: {text}")
    return lost(order, text)


def lost(order: Order, error: str) -> Failure:
    """The failure of an order whose process can say nothing more."""
    return Failure(error, log_tail(order.workspace / "log.txt"))


def words(error: BaseException) -> str:
    """What an error says; its kind alone where it cannot say it."""
    try:
        return str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    except Exception:
        return one_line(error)


def failed(order: Order, failure: Failure) -> RunResult:
    """The result of an order that gave none."""
    started, path = 0, order.workspace / "log.txt"
    with contextlib.suppress(OSError, ValueError, OverflowError):  # a method may have written anything there
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        begun = [line for line in lines if line.endswith(f" start {order.run}")]
        started = moment_of(begun[-1]) if begun else 0
    times = {"started": started, "ended": now()} if started else {}
    return RunResult.of(order.spec, "failed", error=failure.error, log=failure.log, provenance=provenance(), **times)


def log_tail(path: Path) -> str:
    """The last lines of a log, "" if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(printable(line, keep=LINES) for line in lines[-TAIL:])
