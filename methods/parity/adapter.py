"""What all adapters have in common: an answer for each kind of case, and the model that a case is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor

from harness.errors import UserError
from harness.parity.cases import Case, Computed
from harness.plugin import Method, Task

Model = TypeVar("Model", bound=Method)
# Outputs by name, or those with gradients and the parameters' change.
Answer = Computed | dict[str, Any]


def by_kind(**answers: Callable[[Case], Answer]) -> Callable[[Case], Computed]:
    """Return an adapter that gives a case to the function for its kind (see `harness.parity.case.KINDS`)."""

    def compute(case: Case) -> Computed:
        """Return what a case asks for.

        Raises:
            UserError: the case is of a kind that this method has not.
        """
        if case.kind not in answers:
            known = ", ".join(answers)
            raise UserError(f"{case.path}: {case.method} has no cases of kind {case.kind!r}; it has those of {known}")
        answer = answers[case.kind](case)
        return answer if isinstance(answer, Computed) else Computed(answer)

    return compute


def is_xd(case: Case) -> bool:
    """Whether the case is one of the XD-Violence configuration."""
    return "xd" in str(case.spec["variant"]).split("-")


def plain_task(case: Case, state: Mapping[str, Tensor], dim: int) -> Task:
    """Return a task of two classes, without text, on features of width D = `dim`."""
    return Task(case.path.name, ("normal", "abnormal"), ("", ""), dim)


def build(
    method: type[Model],
    case: Case,
    names: Mapping[str, str],
    task: Callable[[Case, dict[str, Tensor], int], Task] = plain_task,
    **settings: Any,
) -> tuple[Model, dict[str, Tensor]]:
    """Return the model of a case with the weights drawn for it, and the official state dict.

    It is the method's `paper` preset on the case's data set. What a case makes smaller is laid over it: sizes that the
    weights' shapes tell, what `names` (official -> ours) finds in the case's configuration, and `settings`. Optimizers,
    rates and schedules are never among them, so that a case proves those that the preset trains with.
    """
    state = case.parameters()
    dim, sizes = method.official_sizes(state)
    settings = {ours: case.config[theirs] for theirs, ours in names.items() if theirs in case.config} | settings
    config = method.configure("xd-violence" if is_xd(case) else "ucf-crime", "paper", sizes | settings)
    model = method(config, task(case, state, dim))
    model.load_saved_state(model.official_state(state))
    return model, state
