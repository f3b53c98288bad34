"""Evaluate weights that exist: a checkpoint of ours, a converted one, or an official file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.data.card import DatasetCard
from harness.data.cards import find_card, open_bank
from harness.errors import UserError
from harness.plugin.contract import blamed
from harness.plugin.method import Method, Size, Task
from harness.records.label_access import withheld
from harness.records.run_directory import RECORD, open_run
from harness.records.spec import Origin, Precision, RunResult
from harness.registry import method_class, one_method, setting_errors
from harness.runs.computation import Tick, measure, settle
from harness.runs.method_side import CHECKPOINT, COMPUTED, Computed, leave, spec_of
from harness.runs.truth_side import finished, publish
from harness.text.encoder import load_text_tower
from harness.training.arithmetic import arithmetic
from harness.weights.checkpoints import Header, build, load, read_header, weights_hash
from harness.weights.convert import convert
from harness.weights.readers import read_weights

Say = Callable[[str], None]
Progress = Callable[[str], AbstractContextManager[Tick]]


@dataclass(frozen=True)
class Request:
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


def evaluate_checkpoint(request: Request, say: Say, progress: Progress) -> RunResult:
    """Predict the test set with given weights and score it.

    The result is that of a run whose selection is "given"; its directory exists only if it was to be recorded.

    Raises:
        UserError: the weights cannot be read, or fit no method, data set or feature set.
        HarnessError: a score is NaN or infinite.
    """
    card = find_card(request.dataset)
    paths = [locate(text, request.out) for text in request.checkpoints]
    label = ", ".join(path.name for path in paths)
    method, header = load_method(request, paths, card, label, say)
    bank = open_bank(card, _features(card, request.features, header.dim, label))
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
    if request.record and (directory / "run.json").exists():
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
        parameters=size.total, trainable=size.trainable, train_seconds=0.0, predict_seconds=tested.seconds
    )
    result = finished(spec, type(method), bank, truth, tested.predictions, computed, origin=origin, directory=where)
    if request.record:
        log = f"{time.strftime('%Y-%m-%d %H:%M:%S')} evaluated {label} {' '.join(header.source) or header.run}\n"
        own = header.model_copy(update={"config": spec.config, "run": spec.run_id})
        workspace = request.out / ".work" / spec.run_id
        leave(workspace / COMPUTED, method, tested.predictions, own, {"epochs": [], "looks": []})
        publish(result, truth, workspace / COMPUTED, log)
        shutil.rmtree(workspace, ignore_errors=True)
    return result


def locate(text: str, out: Path) -> Path:
    """Return the file of weights that is meant: the file itself, or that of a run directory or a run id below `out`.

    Raises:
        UserError: there is none.
    """
    path = Path(text)
    if path.is_file():
        return path
    directory = path if path.is_dir() else out / path
    if not directory.is_dir():
        raise UserError(f"{text}: no such file or run directory, and no such run id below {out}")
    if not (directory / CHECKPOINT).is_file():
        why = "the method of this run has no weights" if (directory / "run.json").exists() else "not a finished run"
        raise UserError(f"{directory}: holds no {CHECKPOINT} ({why})")
    return open_run(directory).file(CHECKPOINT) if (directory / RECORD).exists() else directory / CHECKPOINT


def load_method(request: Request, paths: list[Path], card: DatasetCard, label: str, say: Say) -> tuple[Method, Header]:
    wanted = one_method(request.method) if request.method else None
    header = read_header(paths[0])
    if header is None:
        if wanted is None:
            raise UserError(f"{label}: does not say what it is; name the method of official weights with --method")
        settings = _settings(request, wanted)
        converted = convert(paths, wanted, card, settings, request.text_tower, say)
        method, header = converted.method, converted.header
    else:
        if len(paths) > 1:
            raise UserError(f"{label}: expected one checkpoint; only official files may be several")
        if wanted not in (None, header.method):
            raise UserError(f"{label}: is a checkpoint of {header.method}, not of {wanted}")
        cls = method_class(one_method(header.method))
        with setting_errors(cls, f"{label}, --set"):
            config = cls.Config(**{**header.config, **_settings(request, header.method)})
        tower = load_text_tower(request.text_tower) if cls.card.needs_text else None
        with blamed(f"method {header.method}"):
            method = build(cls, config, Task(card.name, card.class_names, card.prompts, header.dim, tower))
        load(method, read_weights(paths[0]), label)
    _check_tower(method, header, request.text_tower, label, say)
    return method, header


def _settings(request: Request, name: str) -> Mapping[str, Any]:
    for other in request.overrides:
        if other != name:
            raise UserError(f"--set {other}.…: the checkpoint is one of {name}")
    return request.overrides.get(name, {})


def _check_tower(method: Method, header: Header, source: str | None, label: str, say: Say) -> None:
    """Say so if the weights meet another text tower than they were trained with."""
    tower = method.task.text
    if tower is None or header.text_tower == tower.name:
        return
    if header.text_tower:
        say(f"warning: {label} was trained with the text tower {header.text_tower}; this is {tower.name}")
    elif source is None:
        say(f"warning: {label} is run with the text tower {tower.name}; give the one of its training with --text-tower")


def _features(card: DatasetCard, wanted: str | None, dim: int, label: str) -> str:
    """The feature set that was asked for, else the only one of the right width, else the card's first."""
    fits = [name for name, features in card.features.items() if features.dim == dim]
    name, features = card.feature_set(wanted or (fits[0] if len(fits) == 1 else None))
    if features.dim != dim:
        where = card.name if len(card.features) == 1 else f"{card.name}/{name}"
        hint = f"; --features {' or '.join(fits)} would fit" if fits else ""
        raise UserError(f"{label} is made for {dim}-d features; {where} has {features.dim}-d{hint}")
    return name
