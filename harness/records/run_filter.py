"""Which of many runs are meant: the same selectors, with the same words, wherever runs are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.errors import UserError
from harness.names import meant
from harness.printable import shortened
from harness.records.conditions import Where, names_of, value_of, words_of
from harness.records.result import RunResult

_Run = TypeVar("_Run")
# Values of one option that a message names.
_NAMED = 4
# Fields that have an option of their name, in the order in which a reader would choose.
_OPTIONS = ("dataset", "features", "preset", "selection")
# What differs between the runs of one setting, too.
_ANYWAY = ("id", "status", "seed", "videos", "frames", "code", "threads", "origin", "method")


@dataclass(frozen=True)
class RunFilter:
    """What chooses among runs; what is empty leaves all.

    `methods` are the words of `--methods` with the names that each stands for. `datasets` also mean their variants
    (`ucf-crime` those on `ucf-crime@exact`).
    """

    methods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    presets: tuple[str, ...] = ()
    selections: tuple[str, ...] = ()
    where: Where | None = None

    @property
    def empty(self) -> bool:
        """Whether it leaves all runs."""
        return not self.words

    @property
    def words(self) -> str:
        """The options, as they are written on the command line."""
        lists = {"dataset": self.datasets, "methods": tuple(self.methods), "features": self.features}
        lists |= {"seeds": tuple(map(str, self.seeds)), "preset": self.presets, "selection": self.selections}
        parts = [f"--{name} {','.join(values)}" for name, values in lists.items() if values]
        return " ".join(parts + ([f'--where "{self.where.text}"'] if self.where else []))

    def matches(self, result: RunResult) -> bool:
        """Return whether a run is meant; raises UserError where `--where` orders text."""
        names = [name for each in self.methods.values() for name in each]
        preset = result.spec.preset if result.spec else ""
        return (
            (not self.methods or result.method in names)
            and (not self.datasets or bool({result.dataset, base(result.dataset)} & set(self.datasets)))
            and (not self.features or result.features in self.features)
            and (not self.seeds or result.seed in self.seeds)
            and (not self.presets or preset in self.presets)
            and (not self.selections or result.selection in self.selections)
            and (self.where is None or self.where.holds(result))
        )

    def chosen(self, runs: Sequence[_Run], result_of: Callable[[_Run], RunResult]) -> list[_Run]:
        """Return the runs that are meant, perhaps none, in their order.

        Raises:
            UserError: a selector names what no run has; the text names the nearest that some have.
        """
        if self.empty:
            return list(runs)
        self.check([result_of(run) for run in runs])
        return [run for run in runs if self.matches(result_of(run))]

    def check(self, results: Sequence[RunResult]) -> None:
        """Raise UserError if a selector names what none of the runs has."""
        if not results:
            return
        methods = {result.method for result in results}
        for word, names in self.methods.items():
            if not methods & set(names):
                raise _unknown("methods", word, methods)
        datasets = {name for result in results for name in (result.dataset, base(result.dataset))}
        presets = {result.spec.preset for result in results if result.spec}
        for option, wanted, known in (
            ("dataset", self.datasets, datasets),
            ("features", self.features, {result.features for result in results}),
            ("seeds", tuple(map(str, self.seeds)), {str(result.seed) for result in results}),
            ("preset", self.presets, presets),
            ("selection", self.selections, {str(result.selection) for result in results}),
        ):
            for word in wanted:
                if word not in known:
                    raise _unknown(option, word, known - {""})
        if self.where is not None:
            self.where.check(results)

    def none_left(self, place: str, total: int) -> UserError:
        """Return what to tell where no run is left of those in a place."""
        what = f"{total} finished run{'' if total == 1 else 's'}"
        return UserError(f"{self.words}: none of the {what} in {place} is meant; see `harness list runs`")


def base(dataset: str) -> str:
    """Return the data set that a name is a variant of, itself where it is none."""
    return dataset.partition("@")[0]


def told_apart(results: Sequence[RunResult]) -> str:
    """Return the options that tell runs apart, as in "--preset fast or --preset paper"; "" where none does."""
    differ = {name: sorted({str(value_of(result, name)) for result in results} - {"None", ""}) for name in _OPTIONS}
    if parts := [_either([f"--{name} {value}" for value in values]) for name, values in differ.items() if values[1:]]:
        return " and ".join(parts)
    # The settings of a method next, then whatever else it was asked.
    fields = dict.fromkeys(name for result in results for name in names_of(result))
    asked = [name for name in fields if name.startswith("params.")]
    asked += [name for name in fields if "." not in name and name not in _ANYWAY]
    for name in asked:
        found = {value_of(result, name): None for result in results}
        if len(found) > 1 and None not in found:
            return _either([words_of(name, value) for value in found])
    return ""


def _either(words: Sequence[str]) -> str:
    more = f" or {len(words) - _NAMED} others" if len(words) > _NAMED else ""
    return " or ".join(words[:_NAMED]) + more


def _unknown(option: str, word: str, known: set[str]) -> UserError:
    names = sorted(known)
    rest = f" and {len(names) - 8} more" if len(names) > 8 else ""
    hint = meant(word, names) or f"there are {', '.join(map(shortened, names[:8]))}{rest}"
    return UserError(f"--{option} {shortened(word)}: no run has it; {hint}")
