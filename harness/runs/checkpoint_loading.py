"""A method with weights that exist: from a checkpoint of ours, a run that wrote one, or an official file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.card import DatasetCard
from harness.errors import UserError
from harness.plugin.contract import blamed
from harness.plugin.method import Method, Task
from harness.records.extraction import Recipe
from harness.records.run_directory import RECORD, open_run
from harness.registry import method_class, one_method, setting_errors
from harness.runs.method_side import CHECKPOINT
from harness.text.loading import load_text_tower
from harness.weights.checkpoints import Header, build_for_weights, load, read_header
from harness.weights.convert import convert
from harness.weights.readers import read_weights

Say = Callable[[str], None]


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
        why = "the method of this run has no weights" if (directory / RECORD).exists() else "not a finished run"
        raise UserError(f"{directory}: holds no {CHECKPOINT} ({why})")
    return open_run(directory).file(CHECKPOINT) if (directory / RECORD).exists() else directory / CHECKPOINT


def load_method(
    paths: Sequence[Path],
    card: DatasetCard,
    label: str,
    say: Say,
    *,
    method: str | None = None,
    settings: Mapping[str, Mapping[str, Any]],
    text_tower: str | None = None,
) -> tuple[Method, Header]:
    """Return a method with the weights in `paths`, for the classes of a data set, and what they say of themselves.

    Args:
        paths: a checkpoint of ours, or official files.
        card: the data set.
        label: what messages call the weights.
        say: is told what a reader must know, one line each.
        method: name or alias of the method; needed for official files.
        settings: method -> setting -> value, in place of those of the weights.
        text_tower: directory, hub id or name of the text tower.

    Raises:
        UserError: the weights cannot be read, or fit no method or data set.
    """
    wanted = one_method(method) if method else None
    header = read_header(paths[0])
    if header is None:
        if wanted is None:
            raise UserError(f"{label}: does not say what it is; name the method of official weights with --method")
        converted = convert(list(paths), wanted, card, _settings(settings, wanted), text_tower, say)
        loaded, header = converted.method, converted.header
    else:
        if len(paths) > 1:
            raise UserError(f"{label}: expected one checkpoint; only official files may be several")
        if wanted not in (None, header.method):
            raise UserError(f"{label}: is a checkpoint of {header.method}, not of {wanted}")
        cls = method_class(one_method(header.method))
        with setting_errors(cls, f"{label}, --set"):
            config = cls.Config(**{**header.config, **_settings(settings, header.method)})
        tower = load_text_tower(text_tower) if cls.card.needs_text else None
        with blamed(f"method {header.method}"):
            task = Task(card.name, card.class_names, card.prompts, header.dim, tower, header.audio_dim)
            loaded = build_for_weights(cls, config, task)
        load(loaded, read_weights(paths[0]), label)
    _check_tower(loaded, header, text_tower, label, say)
    return loaded, header


def fitting_features(card: DatasetCard, wanted: str | None, dim: int, label: str, audio_dim: int = 0) -> str:
    """Return the feature set that was asked for, else the only one of the right width, else the card's first.

    Raises:
        UserError: it has another width than `dim`, which the weights are made for, or not `audio_dim` of it are of the
            sound; weights that know of none (0) take both for one.
    """
    fits = [
        name for name, features in card.features.items() if features.dim == dim and audio_dim in (0, features.audio_dim)
    ]
    name, features = card.feature_set(wanted or (fits[0] if len(fits) == 1 else None))
    if name not in fits:
        where = card.name if len(card.features) == 1 else f"{card.name}/{name}"
        hint = f"; --features {' or '.join(fits)} would fit" if fits else ""
        needed, there = _width(dim, audio_dim), _width(features.dim, features.audio_dim if audio_dim else 0)
        raise UserError(f"{label} is made for {needed} features; {where} has {there}{hint}")
    return name


def _width(dim: int, audio_dim: int) -> str:
    return f"{dim}-d" + (f" ({audio_dim} of the sound)" if audio_dim else "")


def check_recipe(header: Header, made: Recipe | None, label: str, where: str, anyway: str = "") -> None:
    """Raise UserError where weights meet features that were made otherwise than those of their training.

    `made` says how the features `where` were made (None: not known), `anyway` which option would take them.
    """
    trained = header.extraction
    if trained is None or (made is not None and made.digest == trained.digest):
        return
    other = made.words if made else "features of which it is not known how they were made"
    hint = f"; {anyway} scores them anyway" if anyway else ""
    raise UserError(f"{label} was trained on {trained.words}; {where} holds {other}{hint}")


def _settings(given: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    for other in given:
        if other != name:
            raise UserError(f"--set {other}.…: the checkpoint is one of {name}")
    return given.get(name, {})


def _check_tower(method: Method, header: Header, source: str | None, label: str, say: Say) -> None:
    """Say so if the weights meet another text tower than they were trained with."""
    tower = method.task.text
    if tower is None or header.text_tower == tower.name:
        return
    if header.text_tower:
        say(f"warning: {label} was trained with the text tower {header.text_tower}; this is {tower.name}")
    elif source is None:
        say(f"warning: {label} is run with the text tower {tower.name}; give the one of its training with --text-tower")
