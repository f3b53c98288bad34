"""The side of a run that holds the ground truth: score what was computed, and publish it at once.

No method is built or asked here.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.data.verify import mean_norm
from harness.errors import HarnessError
from harness.identity.check_record import FIELD, checked
from harness.io.atomic import replacing_directory, write_json, write_text
from harness.metrics.saturation import saturation
from harness.parity.record import fidelity
from harness.plugin.card import MethodCard
from harness.plugin.method import Method
from harness.printable import LINES, printable
from harness.records.predictions import Predictions
from harness.records.result import Cost, DataFacts, RunResult
from harness.records.run_directory import CARD, write_run
from harness.records.spec import RunSpec
from harness.records.system_metrics import FILE as SYSTEM
from harness.records.truth import GroundTruth
from harness.registry import method_class
from harness.runs.computation import Judge, judge_by
from harness.runs.method_side import CHECKPOINT, COMPUTED, HISTORY, PREDICTIONS, Computed, append_log, now
from harness.runs.order import Order
from harness.runs.provenance import provenance
from harness.scoring.answers import answer

Say = Callable[[str], None]


class Grounds:
    """Banks with their ground truths, each read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[Bank, GroundTruth]] = {}

    def of(self, order: Order) -> tuple[Bank, GroundTruth]:
        """Return the bank and the ground truth of an order's test set.

        Raises:
            UserError: they are not here, or damaged.
            HarnessError: the data set was imported anew since the run was planned.
        """
        key = (order.dataset, order.spec.features, order.spec.feature_hash)
        if key not in self._known:
            bank = open_bank(find_card(order.dataset), order.spec.features)
            if bank.content_hash != order.spec.feature_hash:
                raise HarnessError(f"{order.run}: feature_hash changed since the run was planned; start it again")
            self._known[key] = bank, bank.truth()
        return self._known[key]

    def judge(self, order: Order) -> Judge:
        """Return who values an order's predictions of the test set, for the rules that look at it and no other."""
        if order.spec.selection not in ("oracle", "paper"):
            return _no_judge
        return judge_by(self.of(order)[1])


def _no_judge(predictions: Predictions) -> float:
    raise HarnessError("only the selection rules oracle and paper ask for the value of test predictions")


def conclude(order: Order, computed: Computed, grounds: Grounds, say: Say) -> RunResult:
    """Score and publish what a run left in its workspace; return its result.

    Raises:
        UserError: the predictions are damaged or not of this test set.
        Unwritable: the output directory refused a write.
    """
    began = time.perf_counter()
    place = order.workspace / COMPUTED
    bank, truth = grounds.of(order)
    result = finished(
        order.spec,
        method_class(order.spec.method),
        bank,
        truth,
        Predictions.load(place / PREDICTIONS),
        computed,
        directory=str(order.directory),
        selected=computed.selected,
    )
    for caution in result.cautions:
        say(f"{order.run}: caution: {caution}")
    value = result.metrics.get(truth.primary)
    append_log(order.workspace, f"finished {truth.primary} {'undefined' if value is None else format(value, '.4f')}")
    log = (order.workspace / "log.txt").read_text(encoding="utf-8", errors="replace")
    if result.cost is not None:
        wall = computed.wall_seconds + time.perf_counter() - began
        cost = result.cost.model_copy(update={"wall_seconds": wall})
        result = result.model_copy(update={"cost": cost, "ended": now()})
    publish_run(result, truth, place, log, bank)
    shutil.rmtree(order.workspace, ignore_errors=True)
    return result


def finished(
    spec: RunSpec,
    cls: type[Method],
    bank: Bank,
    truth: GroundTruth,
    predictions: Predictions,
    computed: Computed,
    **facts: Any,
) -> RunResult:
    """Return the result of a run of the method `cls` that went through; `facts` are further fields of it.

    Raises:
        UserError: the predictions are not of this test set.
    """
    found, seconds = answer(spec, predictions, truth, bank.card), max(computed.predict_seconds, 1e-9)
    return RunResult.of(
        spec,
        "ok",
        metrics=found.metrics,
        class_auc=found.class_auc,
        undefined=list(found.undefined),
        cautions=_cautions(cls.card, bank, predictions),
        videos=found.videos,
        frames=found.frames,
        excluded=list(truth.excluded),
        cost=Cost(
            train_seconds=computed.train_seconds,
            predict_seconds=computed.predict_seconds,
            test_snippets_per_second=len(predictions.scores) / seconds,
            test_frames_per_second=found.frames / seconds,
            parameters=computed.parameters,
            trainable_parameters=computed.trainable,
            wall_seconds=computed.wall_seconds,
        ),
        data=facts_of(bank, trained=cls.card.training in ("gradient", "closed-form") and _trains(spec)),
        started=computed.started,
        ended=now(),
        provenance=(computed.provenance or provenance())
        | {"threads": str(spec.threads), "fidelity": fidelity(cls), FIELD: checked(cls)},
        **facts,
    )


def _trains(spec: RunSpec) -> bool:
    """Whether a run trained its weights rather than being given them."""
    return not spec.source and spec.selection != "given"


def facts_of(bank: Bank, trained: bool) -> DataFacts:
    """Return what a run's features are: of the training split only where something was `trained` on it."""
    features = bank.card.features[bank.features_name]
    sizes: dict[str, int] = {}
    for name in ("train", "test") if trained else ("test",):
        lengths = {item.video: item.snippets for item in bank.split(name).items}
        sizes |= {f"{name}_videos": len(lengths), f"{name}_snippets": sum(lengths.values())}
    return DataFacts(source=bank.card.source, dim=features.dim, crops=features.crops, **sizes)


def _cautions(card: MethodCard, bank: Bank, predictions: Predictions) -> list[str]:
    """A sentence where scores hardly differ, with the usual reason: features of another size than expected."""
    found = saturation(predictions.scores)
    if not found:
        return []
    norm = mean_norm(bank.split("test"))
    return [f"{found}; the features' mean norm is {norm:.3g}, {card.name} expects: {card.input_scale}"]


def publish_run(result: RunResult, truth: GroundTruth, computed: Path, log: str, bank: Bank | None = None) -> None:
    """Write a finished run to its directory, all of it or nothing; what lies in `computed` moves there.

    Weights have the card of their `bank` beside them, so that they can be used where the data set is not known.

    Raises:
        Unwritable: the system refused; what lay there stays.
    """
    assert result.spec is not None
    with replacing_directory(Path(result.directory)) as directory:
        for name in (PREDICTIONS, HISTORY, CHECKPOINT, SYSTEM):
            # By name, and files alone: nothing else that a method may have put there is taken along.
            if (computed / name).is_file() and not (computed / name).is_symlink():
                os.replace(computed / name, directory / name)
        if bank is not None and (directory / CHECKPOINT).exists():
            shutil.copyfile(bank.path / CARD, directory / CARD)
        truth.save(directory / "truth.json")
        write_json(directory / "config.json", result.spec.config)
        write_text(directory / "log.txt", printable(log, keep=LINES))  # a method may have written to it
        write_run(directory, result)
