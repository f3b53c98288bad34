"""The shared check: what every registered method must do, ours or a third party's.

In comes a method, out goes a verdict on each point of its contract. Imports training, data and the contract of methods.

In a test of your own: `check_method("my-method")`, or one test per check with
`@pytest.mark.parametrize("check", CHECKS)` and `check_method("my-method", [check])`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from harness.check import learning, predictions, state
from harness.check.subject import Options, Subject
from harness.check.types import types
from harness.check.verdict import Failed, Skipped
from harness.errors import BrokenMethod, UserError, one_line
from harness.plugin.method import Method
from harness.registry import method_class, one_method

Status = Literal["ok", "failed", "skipped"]

# A check returns a figure or nothing, and raises Failed or Skipped. Where the first fails, no other can be made.
CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "types": types,
    "shapes": predictions.shapes,
    "ranges": predictions.ranges,
    "one-snippet": predictions.one_snippet,
    "batch": predictions.batch,
    "online": predictions.online,
    "losses": learning.losses,
    "gradients": learning.gradients,
    "determinism": learning.determinism,
    "save-load": state.save_load,
    "device": state.device,
    "global-state": state.global_state,
    "long-video": predictions.long_video,
}


@dataclass(frozen=True)
class Outcome:
    """What one check found. `reason` says why it failed or was skipped, or gives a figure."""

    check: str
    status: Status
    reason: str


def run_checks(method: str | type[Method], checks: Iterable[str] = (), **options: Any) -> Iterator[Outcome]:
    """Yield the outcome of each of `checks` (default: all) as it is made.

    Args:
        method: a registered name or alias, or a class.
        checks: names from `CHECKS`.
        options: fields of `harness.check.subject.Options`.

    Raises:
        UserError: the method or a check is unknown, or the method cannot be configured for the task of the check.
        BrokenMethod: the method has no card, or what it says of itself is of a wrong type.
    """
    cls = method_class(one_method(method)) if isinstance(method, str) else method
    chosen = list(checks) or list(CHECKS)
    if unknown := [name for name in chosen if name not in CHECKS]:
        raise UserError(f"unknown check {unknown[0]!r}; there are {', '.join(CHECKS)}")
    subject = Subject(cls, Options(**options))
    broken = False
    for name in chosen:
        outcome = Outcome(name, *(("skipped", "types failed") if broken else _verdict(CHECKS[name], subject)))
        broken |= (name, outcome.status) == ("types", "failed")
        yield outcome


def check_method(method: str | type[Method], checks: Iterable[str] = (), **options: Any) -> None:
    """Raise AssertionError, which lists every failure, unless the method passes; arguments as of `run_checks`."""
    failed = [f"{o.check}: {o.reason}" for o in run_checks(method, checks, **options) if o.status == "failed"]
    if failed:
        name = method if isinstance(method, str) else method.__name__
        raise AssertionError("\n".join([f"{name} fails {len(failed)} of the shared checks", *failed]))


def _verdict(check: Callable[[Subject], str], subject: Subject) -> tuple[Status, str]:
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")  # as in a run
    try:
        return "ok", check(subject)
    except Skipped as skip:
        return "skipped", str(skip)
    except Failed as failure:
        return "failed", str(failure)
    except BrokenMethod as error:
        return "failed", str(error)
    except Exception as error:  # whatever a method raises, it failed the check
        return "failed", one_line(error)
    finally:
        torch.set_deterministic_debug_mode(mode)
