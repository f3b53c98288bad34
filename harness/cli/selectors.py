"""Options that choose among runs, the same for `compare`, `submit`, `report` and `list runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.records.run_filter import RunFilter

RULES = ("last", "val", "oracle", "paper", "given")
Datasets = Annotated[str | None, typer.Option("--dataset", help="Only runs on these data sets, comma-separated.")]
Methods = Annotated[
    str | None, typer.Option("--methods", help="Only runs of these methods: names, aliases or groups, comma-separated.")
]
Features = Annotated[str | None, typer.Option("--features", help="Only runs on these feature sets, comma-separated.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Only runs with these seeds, comma-separated.")]
Preset = Annotated[str | None, typer.Option("--preset", help="Only runs with these presets, comma-separated.")]
Selection = Annotated[
    str | None, typer.Option("--selection", help=f"Only runs with these selection rules: {', '.join(RULES)}.")
]
WhereText = Annotated[
    str | None,
    typer.Option(
        "--where",
        help="Only runs for which this holds, such as 'params.epochs > 5 and metrics.frame_auc > 0.8': params, "
        "metrics, class_auc, cost and provenance by name, and plain fields such as device.",
    ),
]


def run_filter(
    dataset: str | None = None,
    methods: str | None = None,
    features: str | None = None,
    seeds: str | None = None,
    preset: str | None = None,
    selection: str | None = None,
    where: str | None = None,
) -> RunFilter:
    """Return what the options of a command choose.

    Raises:
        UserError: an option is empty, or `--where` cannot be read.
    """
    from harness.records.conditions import parsed
    from harness.records.run_filter import RunFilter

    rules = _words("--selection", selection)
    for rule in rules:
        options.one_of("--selection", rule, RULES)
    return RunFilter(
        methods={word: _names(word) for word in _words("--methods", methods)},
        datasets=_words("--dataset", dataset),
        features=_words("--features", features),
        seeds=() if seeds is None else options.seeds(seeds),
        presets=_words("--preset", preset),
        selections=rules,
        where=None if where is None else parsed(where),
    )


def _words(option: str, text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(options.words(option, text))


def _names(word: str) -> tuple[str, ...]:
    """The methods that a word stands for; itself where no method here has it, as with scores of other programs."""
    from harness.errors import UserError
    from harness.registry import resolve

    try:
        return tuple(resolve(word)[0])
    except UserError:
        return (word,)
