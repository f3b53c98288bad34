"""However a verb is stopped, one line says so, and the exit code is right."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.errors import Diverged, UserError

Call = Callable[..., tuple[int, str, str]]
# Each verb with something that it calls.
VERBS = {
    "list runs": "harness.cli.listing.runs",
    "list methods": "harness.cli.listing.methods",
    "run --methods random": "harness.runs.matrix.plan",
    "report": "harness.report.publish.publish_report",
    "audit": "harness.report.audit.build.audit",
    "bench --methods random": "harness.bench.run.bench_all",
    "convert a.pth --method deepmil --out b.safetensors": "harness.weights.convert.convert",
    "eval a --dataset demo": "harness.runs.checkpoint_evaluation.evaluate_checkpoint",
    "compare a b": "harness.api.compare.find_sides",
    "score a.csv": "harness.scoring.score.score_file",
    "submit a --to b.zip": "harness.submissions.pack.find_runs",
    "verify-submission a.zip": "harness.submissions.bundle.read",
    "check-method random": "harness.check.run_checks",
    "parity a": "harness.parity.cases.case_directories",
    "data import demo --root .": "harness.data.cards.find_card",
    "data verify demo": "harness.data.cards.find_card",
    "data info demo": "harness.data.cards.find_card",
    "data export demo --to a": "harness.data.cards.find_card",
    "data list": "harness.cli.listing.datasets",
}


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_in_every_verb(verb: str, harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VERBS[verb], failing(KeyboardInterrupt()))
    assert harness(*verb.split()) == (130, "", "interrupted\n")


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_in_every_verb(verb: str, harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "some\x1b[31m/file")
    monkeypatch.setattr(VERBS[verb], failing(error))
    expected = "error: some\ufffd[31m/file: cannot be read or written (No space left on device)\n"
    assert harness(*verb.split()) == (2, "", expected)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("no\nsuch\x1b[31m"), 2, "error: no such\ufffd[31m"),
        (Diverged("at step 3"), 1, "error: at step 3"),
        (OSError(errno.EMFILE, "Too many open files"), 2, "error: cannot be read or written (Too many open files)"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "error: a: cannot be read or written (Permission"),
        (MemoryError(), 1, "error: out of memory"),
        (UnicodeEncodeError("ascii", "\xe4\n", 0, 1, "no"), 2, "error: 'ä ': this locale has no such letters (ascii);"),
    ],
)
def test_each_kind_of_error_is_one_line(
    error: Exception, code: int, line: str, harness: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.listing.methods", failing(error))
    found, stdout, stderr = harness("list", "methods")
    assert (found, stdout) == (code, "")
    assert stderr.startswith(line)
    assert len(stderr.splitlines()) == 1
    found, _, stderr = harness("--debug", "list", "methods")
    assert found == code
    assert stderr.startswith("Traceback")
    assert stderr.splitlines()[-1].startswith(line)


@pytest.mark.parametrize("error", [ValueError("defect"), OSError("without a file"), BrokenPipeError(32, "of a worker")])
def test_defects_of_the_harness_are_not_hidden(
    error: Exception, harness: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.listing.methods", failing(error))
    with pytest.raises((ValueError, OSError, RuntimeError), match=r"defect|without a file|process .* went away"):
        harness("list", "methods")


def test_the_version_and_the_help(harness: Call) -> None:
    from harness.version import __version__

    assert harness("--version") == (0, f"{__version__}\n", "")
    assert harness("run", "-h") == harness("run", "--help")
    for arguments in ([], ["data"]):
        code, stdout, stderr = harness(*arguments)
        assert (code, stderr) == (2, "")
        assert "Usage" in stdout
