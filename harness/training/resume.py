"""What a training that was cut off goes on from: a file with the state after an epoch, sealed by its hash."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from harness.errors import UserError, one_line
from harness.io.atomic import replacing, unwritable
from harness.plugin.method import Method, Schedule
from harness.training.averaging import Average
from harness.training.selection import Selector

EpochRecord = dict[str, Any]

# Bytes of the SHA-256 that ends the file: what was damaged must not go on as if it were trained.
_SEAL = 32
_LOG = logging.getLogger(__name__)


def save(
    path: Path,
    method: Method,
    schedules: Sequence[Schedule],
    selector: Selector,
    average: Average,
    records: list[EpochRecord],
) -> None:
    """Write the state of a training after as many epochs as there are records.

    Raises:
        Unwritable: the system refused.
    """
    state = {
        "method": method.saved_state(),
        "optimizers": [schedule.optimizer.state_dict() for schedule in schedules],
        "schedulers": [s.scheduler.state_dict() if s.scheduler else {} for s in schedules],
        "selector": selector.state(),
        "average": average.state(),
        "records": json.dumps(records),
    }
    content = io.BytesIO()
    torch.save(state, content)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content.getbuffer())
        file.write(hashlib.sha256(content.getbuffer()).digest())


def restore(
    path: Path, method: Method, schedules: Sequence[Schedule], selector: Selector, average: Average
) -> list[EpochRecord]:
    """Bring a training to the state in `path` and return the records of its epochs; the next one follows them.

    A damaged file is put aside with a warning, and there are no records: training starts anew.

    Raises:
        UserError: the file is whole, but of another training; it is put aside.
        Unwritable: a damaged file cannot be put aside.
    """
    try:
        content = memoryview(path.read_bytes())
        body, seal = content[:-_SEAL], content[-_SEAL:]
        if hashlib.sha256(body).digest() != seal:
            raise ValueError("its hash is not that of its content")
        state = torch.load(io.BytesIO(body), weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file raises, nothing was taken from it
        _LOG.warning("%s: damaged (%s), put aside as %s; training starts anew", path, _reason(error), _aside(path).name)
        return []
    try:
        method.load_saved_state(state["method"])
        for schedule, optimizer, scheduler in zip(schedules, state["optimizers"], state["schedulers"], strict=True):
            schedule.optimizer.load_state_dict(optimizer)
            if schedule.scheduler is not None:
                schedule.scheduler.load_state_dict(scheduler)
        selector.restore(state["selector"])
        average.restore(state["average"], method)
        records: list[EpochRecord] = json.loads(state["records"])
    except Exception as error:  # what it holds may be in use by now
        aside = _aside(path)
        raise UserError(
            f"{path}: not of this training ({_reason(error)}); it is now {aside.name}, the next attempt starts anew"
        ) from error
    return records


def _reason(error: Exception) -> str:
    return one_line(error) if not isinstance(error, ValueError) else str(error)


def _aside(path: Path) -> Path:
    """Move a file that cannot be used out of the way and return where it is."""
    aside = path.with_suffix(".damaged")
    try:
        path.replace(aside)
    except OSError as error:
        raise unwritable(path, error) from error
    return aside
