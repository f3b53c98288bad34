"""From a matrix to the orders of its runs: everything is checked before the first one starts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from harness.data.bank import Bank
from harness.data.card import DatasetCard
from harness.data.cards import find_card, open_bank
from harness.data.class_maps import shared_classes
from harness.errors import BrokenMethod, Unsupported, UserError
from harness.field_errors import reason
from harness.plugin import contract
from harness.plugin.contract import blamed
from harness.plugin.method import Method, MethodConfig
from harness.printable import shortened
from harness.records.disturbance import Disturbance, disturbance_of
from harness.records.request import Matrix
from harness.records.result import RunResult
from harness.registry import broken_methods, check_preset, method_class, resolve, setting_errors
from harness.runs.computation import task_on
from harness.runs.method_side import spec_of
from harness.runs.order import Order, planned_tower
from harness.runs.retest_orders import matching_bank, retests
from harness.text.tower import TextTower
from harness.training.disturbances import fitting

# A seed is part of the name of a run's directory.
LAST_SEED = 2**63 - 1
# Fields of a matrix that every run has from it.
_HOW = ("device", "precision", "compiled")


@dataclass(frozen=True)
class Plan:
    """`orders` in the order of the matrix, each run once; `refused` are named runs that cannot be done.

    `left_out` says which members of a group do not fit, `notes` what to know before it starts, in one line each.
    `retests` test again what the orders train.
    """

    orders: tuple[Order, ...]
    refused: tuple[RunResult, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()
    retests: tuple[Order, ...] = ()

    @property
    def all(self) -> tuple[Order, ...]:
        """The orders and what tests them again."""
        return self.orders + self.retests

    @property
    def watched(self) -> Plan:
        """The same, with what the machine is busy with meanwhile."""
        orders, retests = (tuple(replace(o, watched=True) for o in some) for some in (self.orders, self.retests))
        return replace(self, orders=orders, retests=retests)


def read_matrix(path: Path) -> Matrix:
    """Return the matrix in a YAML file; a single word stands for a list of one.

    Raises:
        UserError: the file is missing, not YAML, or has an unknown or wrong field.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"--file {path}: no such file") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or no such date
        raise UserError(f"{path}: not a readable YAML file ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected fields such as methods, datasets and seeds")
    for name in ("methods", "datasets", "features", "seeds", "selection", "tests", "disturbances"):
        if name in content and not isinstance(content[name], list):
            content[name] = [content[name]]
    return matrix_of(str(path), content)


def matrix_of(where: str, fields: Mapping[Any, Any]) -> Matrix:
    """Return the matrix of some fields; `where` they are from is for messages.

    Raises:
        UserError: a field is unknown or wrong.
    """
    try:
        return Matrix(**fields)
    except (ValidationError, TypeError) as error:
        if not isinstance(error, ValidationError):
            raise UserError(f"{where}: field names must be words") from error
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        known = ", ".join(Matrix.model_fields)
        raise UserError(f"{where}: {field}: {reason(first, Matrix.model_fields)} (fields: {known})") from error


def plan(matrix: Matrix, out: Path, threads: int, fresh: bool = False) -> Plan:
    """Return the runs of a matrix, to be computed with `threads` threads each.

    Raises:
        UserError: something of the matrix is wrong.
        BrokenMethod: a method that was named itself cannot be used.
    """
    _check_seeds(matrix)
    named, words = resolve(",".join(matrix.methods))
    disturbances = [disturbance_of(text) for text in matrix.disturbances]
    settings = {key: _by_method(key, getattr(matrix, key), named) for key in ("set", "sweep")}
    orders: list[Order] = []
    again: list[Order] = []
    if matrix.open_vocabulary and matrix.tests:
        raise UserError("--open-vocabulary and --test: base and novel classes are those of one data set; leave one out")
    # Of each config its first run: two configs that are one are one in all seeds and rules.
    seen: set[str] = set()
    refused: dict[str, RunResult] = {}
    left_out: dict[str, None] = {}
    notes: dict[str, None] = {}
    if "all" in words:
        left_out |= dict.fromkeys(f"left out: {line}" for line in broken_methods().values())
    for dataset in dict.fromkeys(matrix.datasets):
        card = find_card(dataset)
        place = _place(dataset)
        for bank in _banks(card, matrix.features):
            if undefined := bank.truth().undefined:
                _check_rules(matrix, card, undefined)
                notes[f"{card.name}: {undefined}; its runs are kept without them"] = None
            preset = matrix.preset or card.preset
            vocabulary = _base_classes(card) if matrix.open_vocabulary else ()
            tests = [(_place(name), matching_bank(bank, name)) for name in dict.fromkeys(matrix.tests)]
            tests = [(where, other) for where, other in tests if other.card.name != card.name]
            trained = _fitting(disturbances, "training", [bank])
            tested = _fitting(disturbances, "test", [bank, *(other for _, other in tests)])
            for _, other in tests:
                if shared_classes(card, other.card) is None:
                    notes[f"{card.name} to {other.card.name}: no map of their classes, so no class-wise metrics"] = None
            for name, by_itself in named.items():
                try:
                    with blamed(f"method {name}"):
                        cls = method_class(name)
                        text = planned_tower(matrix.text_tower) if cls.card.needs_text else None
                        configs = list(_configs(cls, card, preset, settings, name, matrix.ablations))
                        _check_trainable(cls, dataset)
                        _check_fits(cls, bank, text)
                except (Unsupported, BrokenMethod) as error:
                    if not by_itself:  # a group takes the members that fit
                        left_out[f"left out: {error}"] = None
                        continue
                    if isinstance(error, BrokenMethod):
                        raise
                    for seed, rule in itertools.product(matrix.seeds, matrix.selection):
                        result = _refusal(name, card, bank, seed, rule, str(error))
                        refused[result.id] = result
                    continue
                rest: dict[str, Any] = {field: getattr(matrix, field) for field in _HOW}
                rest |= {
                    "preset": preset,
                    "threads": threads,
                    "seed": matrix.seeds[0],
                    "selection": matrix.selection[0],
                    "vocabulary": vocabulary,
                }
                for ablation, config in configs:
                    first = spec_of(name, config, bank, text, ablation=ablation, **rest)
                    if first.identity in seen:
                        continue
                    seen.add(first.identity)
                    for seed, rule in itertools.product(matrix.seeds, dict.fromkeys(matrix.selection)):
                        for disturbance in ("", *trained):
                            changed = {"seed": seed, "selection": rule, "disturbance": disturbance}
                            spec = first.model_copy(update=changed)
                            orders.append(Order(spec, place, matrix.text_tower, out, fresh))
                            again += retests(orders[-1], tests, matrix.causal, () if disturbance else tested)
    return Plan(tuple(orders), tuple(refused.values()), tuple(left_out), tuple(notes), tuple(again))


def _place(dataset: str) -> str:
    """Where a card is, in words that mean the same in every directory."""
    return str(Path(dataset).absolute()) if dataset.endswith((".yaml", ".yml")) else dataset


def _fitting(wanted: list[Disturbance], part: str, banks: list[Bank]) -> list[str]:
    """The disturbances of one part of a run, as specs have them, without those that leave everything as it is."""
    found = [fitting(each, bank) for bank in banks for each in wanted if each.kind.part == part]
    return list(dict.fromkeys(filter(None, found)))


def _base_classes(card: DatasetCard) -> tuple[str, ...]:
    if not card.base_classes:
        raise UserError(f"--open-vocabulary: the card of {card.name} does not say which classes are base_classes")
    return card.base_classes


def _check_rules(matrix: Matrix, card: DatasetCard, undefined: str) -> None:
    """Raise UserError where a rule chooses weights by a metric that the test set leaves undefined."""
    if rule := next((rule for rule in matrix.selection if rule in ("oracle", "paper")), None):
        metric = card.protocol.primary
        raise UserError(
            f"--selection {rule}: chooses by the {metric} of the test set, but on {card.name} {undefined}; "
            "use --selection last or val"
        )


def _check_seeds(matrix: Matrix) -> None:
    seeds = matrix.seeds
    if not seeds or min(seeds) < 0 or max(seeds) > LAST_SEED or len(set(seeds)) != len(seeds):
        text = shortened(",".join(map(str, seeds)))
        raise UserError(f"seeds {text!r}: expected distinct integers such as 0,1,2, from 0 to {LAST_SEED}")


def _by_method(option: str, given: Mapping[str, Mapping[str, Any]], named: Mapping[str, bool]) -> dict[str, Any]:
    """Settings by method name, aliases and groups resolved."""
    found: dict[str, dict[str, Any]] = {}
    for word, values in given.items():
        for name in resolve(word)[0]:
            if name not in named:
                known = ", ".join(named)
                raise UserError(f"--{option} {name}.…: method {name!r} is not among the methods ({known})")
            found.setdefault(name, {}).update(values)
    return found


def _banks(card: DatasetCard, wanted: tuple[str, ...]) -> list[Bank]:
    if not wanted:
        return [open_bank(card, None)]
    fits = [name for name in dict.fromkeys(wanted) if name in card.features]
    if not fits:
        card.feature_set(wanted[0])  # says which there are
    return [open_bank(card, name) for name in fits]


def _configs(
    cls: type[Method],
    card: DatasetCard,
    preset: str,
    settings: Mapping[str, Mapping[str, Any]],
    name: str,
    ablations: bool,
) -> Iterator[tuple[str, MethodConfig]]:
    """The method's configs with the part that each switches off, "" for none; one that changes nothing is left out."""
    given, swept = settings["set"].get(name, {}), settings["sweep"].get(name, {})
    for key, values in swept.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"--sweep {name}.{key}: expected one or more values")
    for values in itertools.product(*swept.values()):
        chosen = {**given, **dict(zip(swept, values, strict=True))}
        whole = _configure(cls, card, preset, chosen)
        yield "", whole
        seen = [whole]
        for part, off in cls.ablations.items() if ablations else ():
            config = _configure(cls, card, preset, chosen, off)
            if config not in seen:
                seen.append(config)
                yield part, config


def _configure(
    cls: type[Method], card: DatasetCard, preset: str, chosen: Mapping[str, Any], off: Mapping[str, Any] = {}
) -> MethodConfig:
    check_preset(cls, preset, card.preset)
    with setting_errors(cls, "--set", chosen):
        return contract.configure(cls, card.settings_family, preset, {**off, **chosen})


def _check_fits(cls: type[Method], bank: Bank, text: TextTower | None) -> None:
    """Raise Unsupported, naming the feature sets of the card that would do, if a method cannot run on a bank."""
    if error := _misfit(cls, bank, bank.features_name, text):
        fits = [name for name in bank.card.features if _misfit(cls, bank, name, text) is None]
        hint = f"; --features {' or '.join(fits)} would fit" if fits else ""
        raise Unsupported(f"{error}{hint}") from error


def _misfit(cls: type[Method], bank: Bank, features: str, text: TextTower | None) -> Unsupported | None:
    try:
        contract.check(cls, task_on(bank.card, features, text, bool(bank.glances_hash)))
    except Unsupported as error:
        return error
    return None


def _check_trainable(cls: type[Method], dataset: str) -> None:
    if cls.card.training == "inference-only":
        name = cls.card.name
        how = f"harness eval CHECKPOINT --method {name} --dataset {dataset}"
        raise Unsupported(f"{name} has no published training; evaluate a checkpoint: {how}")


def _refusal(name: str, card: DatasetCard, bank: Bank, seed: int, rule: Any, error: str) -> RunResult:
    return RunResult(
        id=f"{name}-{card.name}-s{seed}-{rule}",
        method=name,
        dataset=card.name,
        features=bank.features_name,
        seed=seed,
        selection=rule,
        status="failed",
        error=error,
    )
