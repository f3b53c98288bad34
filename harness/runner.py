"""From a request to finished runs: skip what is done, resume what was cut off, isolate what fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import find_card, open_bank
from harness.errors import HarnessError, Unsupported, Unwritable, UserError
from harness.execute import Job, execute, spec_of
from harness.files import read_json, replacing
from harness.method import Method, MethodConfig, Task
from harness.provenance import provenance
from harness.registry import method_class, resolve, setting_errors
from harness.spec import RunResult, SelectionRule
from harness.text import TextTower, load_text_tower
from harness.track import Tracker

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What `harness run` was asked for. `overrides` maps method -> config key -> value.

    With `ablations` each method also runs with one of its parts switched off at a time.
    """

    methods: str
    dataset: str = "demo"
    features: str | None = None
    seeds: tuple[int, ...] = (0,)
    selection: SelectionRule = "last"
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str | None = None
    device: str = "cpu"
    text_tower: str | None = None
    ablations: bool = False
    rerun: bool = False
    out: Path = Path("runs")


def run(request: Request, tracker: Tracker, say: Say, progress: Progress) -> list[RunResult]:
    """Compute every run of the request that is not finished yet, and record all in MLflow.

    A method that fails fails alone. Returns one result per (method, seed), in order.

    Raises:
        UserError: something of the request itself is wrong; nothing has been computed then.
    """
    named, _ = resolve(request.methods)
    _check_overrides(request.overrides, named)
    card = find_card(request.dataset)
    bank = open_bank(card, request.features)
    jobs, results = _plan(request, card, bank, named, say)
    _check_writable(request.out)
    for job in jobs:
        results.append(_run_one(job, request, say, progress))
    for result in results:
        if result.status == "failed":
            tracker.record_failure(result)
    for problem in tracker.sync():
        say(problem)
    return results


def _plan(
    request: Request, card: DatasetCard, bank: Bank, named: Mapping[str, bool], say: Say
) -> tuple[list[Job], list[RunResult]]:
    """Build and check every job before the first one starts, so that wrong input costs nothing."""
    feature_set = card.features[bank.features_name]
    preset = request.preset or card.preset
    jobs: list[Job] = []
    results: list[RunResult] = []
    tower: TextTower | None = None
    for name, by_itself in named.items():
        cls = method_class(name)
        if cls.card.needs_text and tower is None:
            tower = load_text_tower(request.text_tower)
        text = tower if cls.card.needs_text else None
        task = Task(card.name, card.class_names, card.prompts, feature_set.dim, text)
        configs = _configs(cls, card, preset, request)
        try:
            _check_trainable(cls, request.dataset)
            cls.check(task)
        except Unsupported as error:
            if not by_itself:  # a group takes the members that fit
                say(f"left out: {error}")
                continue
            results += [_failure(name, card, bank, seed, request, str(error)) for seed in request.seeds]
            continue
        for ablation, config in configs.items():
            for seed in request.seeds:
                rest = {"preset": preset, "seed": seed, "selection": request.selection, "device": request.device}
                spec = spec_of(name, config, bank, text, ablation=ablation, **rest)
                jobs.append(Job(spec, cls, config, task, bank, request.out))
    return jobs, results


def _run_one(job: Job, request: Request, say: Say, progress: Progress) -> RunResult:
    directory = job.directory
    if (directory / "run.json").exists() and not request.rerun:
        say(f"{job.spec.run_id}: already finished, skipped (use --rerun to compute it again)")
        stored = RunResult.model_validate(read_json(directory / "run.json"))
        return stored.model_copy(update={"status": "skipped", "directory": str(directory)})
    try:
        with progress(job.spec.run_id) as tick:
            return execute(job, fresh=request.rerun, say=say, progress=tick)
    except KeyboardInterrupt:
        say(f"{job.spec.run_id}: interrupted; the same command continues from its last epoch")
        raise
    except Unwritable:
        raise
    except Exception as error:  # whatever a method raises, the other runs go on
        text = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, HarnessError):
            job.log(traceback.format_exc())
        job.log(f"failed: {text}")
        return RunResult.of(job.spec, "failed", error=text, provenance=provenance())


def _configs(cls: type[Method], card: DatasetCard, preset: str, request: Request) -> dict[str, MethodConfig]:
    """The method's config by the part that it switches off, "" for none; one that changes nothing is left out."""
    given = request.overrides.get(cls.card.name, {})
    configs = {"": _configure(cls, card, preset, given)}
    for part, settings in cls.ablations.items() if request.ablations else ():
        config = _configure(cls, card, preset, {**settings, **given})
        if config not in configs.values():
            configs[part] = config
    return configs


def _configure(cls: type[Method], card: DatasetCard, preset: str, overrides: Mapping[str, Any]) -> MethodConfig:
    name = cls.card.name
    known = {"paper", *cls.presets}
    if preset not in known and preset != card.preset:
        raise UserError(f"method {name} has no preset {preset!r}; it has {', '.join(sorted(known))}")
    with setting_errors(cls, "--set"):
        return cls.configure(card.settings_family, preset, overrides)


def _check_trainable(cls: type[Method], dataset: str) -> None:
    if cls.card.training == "inference-only":
        name = cls.card.name
        how = f"harness eval CHECKPOINT --method {name} --dataset {dataset}"
        raise Unsupported(f"{name} has no published training; evaluate a checkpoint: {how}")


def _check_writable(out: Path) -> None:
    """Raise `Unwritable` before anything is computed, rather than after an hour of it."""
    with replacing(out / ".writable"):
        pass
    (out / ".writable").unlink()


def _check_overrides(overrides: Mapping[str, Mapping[str, Any]], named: Mapping[str, bool]) -> None:
    for name in overrides:
        if name not in named:
            raise UserError(f"--set {name}.…: method {name!r} is not among --methods ({', '.join(named)})")


def _failure(name: str, card: DatasetCard, bank: Bank, seed: int, request: Request, error: str) -> RunResult:
    return RunResult(
        id=f"{name}-{card.name}-s{seed}-{request.selection}",
        method=name,
        dataset=card.name,
        features=bank.features_name,
        seed=seed,
        selection=request.selection,
        status="failed",
        error=error,
    )
