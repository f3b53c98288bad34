"""What `harness run` is asked for, from options or a file."""

from __future__ import annotations

from typing import Any

from harness.records.model import Record
from harness.records.spec import Precision, SelectionRule


class Matrix(Record):
    """Methods x data sets x feature sets x seeds x selection rules x settings: what `harness run` is asked for.

    Words of `methods` are names, aliases or groups. `features` are feature sets of the cards; empty: each card's
    first. `set` maps method -> config key -> value, `sweep` method -> config key -> values, of which every
    combination is run. With `ablations` each method also runs with one of its parts switched off at a time.

    `tests` are data sets on which each training is tested besides its own; with `causal` the test is also made as if
    the videos were being recorded. With `open_vocabulary` trainings see the base classes of their data set alone.
    `disturbances` such as "label-noise 0.2" are each done beside the undisturbed run, one at a time.
    """

    methods: tuple[str, ...]
    datasets: tuple[str, ...] = ("demo",)
    features: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    selection: tuple[SelectionRule, ...] = ("last",)
    set: dict[str, dict[str, Any]] = {}
    sweep: dict[str, dict[str, list[Any]]] = {}
    preset: str | None = None
    ablations: bool = False
    device: str = "cpu"
    precision: Precision = "fp32"
    compiled: bool = False
    text_tower: str | None = None
    tests: tuple[str, ...] = ()
    causal: bool = False
    open_vocabulary: bool = False
    disturbances: tuple[str, ...] = ()
