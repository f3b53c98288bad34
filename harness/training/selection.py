"""Which point of a training becomes the result.

`last`: the last step. `val`: best on a validation part of the training videos, by video-level labels. `oracle`: best
on the test set, looked at as often as the official code does. `paper`: like `oracle`, and after every epoch training
goes on from the best weights so far (optimizers are not rolled back), as VadCLIP's and DSANet's official code does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.plugin.method import Looks, Method
from harness.records.result import Selection
from harness.records.spec import SelectionRule

Evaluate = Callable[[Method], float]


class Selector:
    """Watches one training and keeps the weights its rule prefers."""

    def __init__(self, rule: SelectionRule, looks: Looks, evaluate: Evaluate | None, criterion: str) -> None:
        """`evaluate` gives the value to maximise; it is None exactly for the rule `last`."""
        if (rule == "last") != (evaluate is None):
            raise ValueError(f"rule {rule} and an evaluation do not go together")
        self._rule = rule
        self._looks = looks
        self._evaluate = evaluate
        self._criterion = criterion
        self._best: dict[str, Tensor] = {}
        self._best_step = 0
        self.history: list[dict[str, float]] = []

    def due(self, epoch: int, step: int, steps: int, total: int) -> bool:
        """Whether the cadence asks for a look; `epoch` from 0, `step` from 1 in an epoch of `steps`, `total` in all."""
        if self._evaluate is None or epoch < self._looks.skip:
            return False
        every, first = self._looks.every, self._looks.first
        counted, last = (epoch * steps + step, total) if self._looks.over == "training" else (step, steps)
        if every is None or last < first:
            return step == steps
        return counted >= first and (counted - first) % every == 0

    def after_step(
        self,
        method: Method,
        epoch: int,
        step: int,
        steps: int,
        total: int,
        shown: Callable[[Method], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """Look if it is `due`.

        `shown` gives the method the weights to look at meanwhile, where these are not those of the last step.
        """
        if not self.due(epoch, step, steps, total):
            return
        overall = epoch * steps + step
        with shown(method):
            value = self._look(method)
            if not self._best or value > self.best_value:
                self._best = {name: tensor.detach().cpu().clone() for name, tensor in method.saved_state().items()}
                self._best_step = overall
        self.history.append({"epoch": epoch + 1, "step": overall, "value": value})

    def after_epoch(self, method: Method) -> None:
        """Under `paper`, put the best weights so far back into the model."""
        if self._rule == "paper" and self._best:
            method.load_saved_state(self._best)

    @property
    def best_value(self) -> float:
        """Best value seen so far."""
        return max(look["value"] for look in self.history)

    def finish(self, method: Method, steps: int) -> Selection:
        """Put the chosen weights into the model and say what was chosen, after `steps` steps in all."""
        if self._evaluate is None:
            return Selection(rule="last", criterion="", step=steps, steps=steps, looks=0)
        at_end = self._look(method)
        if not self._best:  # untrained method, or nothing was ever looked at
            return Selection(rule=self._rule, criterion=self._criterion, step=steps, steps=steps, looks=1, value=at_end)
        method.load_saved_state(self._best)
        return Selection(
            rule=self._rule,
            criterion=self._criterion,
            step=self._best_step,
            steps=steps,
            looks=len(self.history),
            value=self.best_value,
            # Under `paper` the weights are the best ones by now, so nothing is known of the last step's.
            gap=self.best_value - at_end if self._rule == "oracle" else None,
        )

    def state(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {"best": self._best, "best_step": self._best_step, "history": self.history}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self._best = dict(state["best"])
        self._best_step = int(state["best_step"])
        self.history = list(state["history"])

    def _look(self, method: Method) -> float:
        assert self._evaluate is not None
        training = method.training
        # An evaluation must not move the generators that the training draws from.
        with torch.random.fork_rng():
            value = self._evaluate(method)
        method.train(training)
        return float(value)
