"""Evaluate weights that exist: a checkpoint of ours, a converted one, or an official file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.data.cards import find_card, open_bank
from harness.plugin.contract import blamed
from harness.plugin.method import Size
from harness.records.label_access import withheld
from harness.records.log_lines import stamped
from harness.records.result import Origin, RunResult
from harness.records.run_directory import RECORD, open_run
from harness.records.spec import Precision
from harness.runs.checkpoint_loading import Say, check_recipe, fitting_features, load_method, locate
from harness.runs.computation import Tick, measure, settle
from harness.runs.method_side import COMPUTED, Computed, leave, now, spec_of
from harness.runs.truth_side import finished, publish_run
from harness.training.arithmetic import arithmetic
from harness.weights.checkpoints import weights_hash

Progress = Callable[[str], AbstractContextManager[Tick]]


@dataclass(frozen=True)
class EvaluationRequest:
    """What `harness eval` was asked for. `checkpoints` are files, or one run directory or run id below `out`.

    `method` is needed for official files. `overrides` maps method -> config key -> value. With `record` the evaluation
    becomes a run in `out`.
    """

    checkpoints: tuple[str, ...]
    dataset: str
    method: str | None = None
    features: str | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text_tower: str | None = None
    device: str = "cpu"
    precision: Precision = "fp32"
    record: bool = False
    out: Path = Path("runs")


def evaluate_checkpoint(request: EvaluationRequest, say: Say, progress: Progress) -> RunResult:
    """Predict the test set with given weights and score it.

    The result is that of a run whose selection is "given"; its directory exists only if it was to be recorded.

    Raises:
        UserError: the weights cannot be read, or fit no method, data set or feature set.
        HarnessError: a score is NaN or infinite.
    """
    started, card = now(), find_card(request.dataset)
    paths = [locate(text, request.out) for text in request.checkpoints]
    label = ", ".join(path.name for path in paths)
    method, header = load_method(
        paths, card, label, say, method=request.method, settings=request.overrides, text_tower=request.text_tower
    )
    bank = open_bank(card, fitting_features(card, request.features, header.dim, label, header.audio_dim))
    made = bank.card.features[bank.features_name].extraction
    check_recipe(header, made, label, f"{card.name}/{bank.features_name}")
    settle(torch.get_num_threads())
    spec = spec_of(
        header.method,
        method.config,
        bank,
        method.task.text,
        preset="",
        seed=0,
        selection="given",
        device=request.device,
        precision=request.precision,
        threads=torch.get_num_threads(),
        checkpoint=weights_hash(method.saved_state()),
    )
    directory = request.out / spec.run_id
    if request.record and (directory / RECORD).exists():
        say(f"{spec.run_id}: already recorded")
        return open_run(directory).result.model_copy(update={"directory": str(directory)})
    with (
        progress(f"{header.method} on {card.name}") as tick,
        arithmetic(method, request.device, request.precision),
        blamed(f"method {header.method}"),
        withheld(),
    ):
        tested = measure(method, bank, request.device, tick)
    truth, size = bank.truth(), Size.of(method)
    if undefined := truth.undefined:
        say(f"caution: {card.name}: {undefined}")
    origin: Origin = "inference-only" if method.card.training == "inference-only" else "checkpoint"
    where = str(directory) if request.record else ""
    computed = Computed(
        parameters=size.total,
        trainable=size.trainable,
        train_seconds=0.0,
        predict_seconds=tested.seconds,
        started=started,
    )
    result = finished(spec, type(method), bank, truth, tested.predictions, computed, origin=origin, directory=where)
    if request.record:
        log = stamped(f"evaluated {label} {' '.join(header.source) or header.run}")
        own = header.model_copy(update={"config": spec.config, "run": spec.run_id})
        workspace = request.out / ".work" / spec.run_id
        leave(workspace / COMPUTED, method, tested.predictions, own, {"epochs": [], "looks": []})
        publish_run(result, truth, workspace / COMPUTED, log, bank)
        shutil.rmtree(workspace, ignore_errors=True)
    return result
