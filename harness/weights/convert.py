"""From an official checkpoint to one of ours: sizes from its shapes, names by the method's own map, nothing guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.data.card import DatasetCard
from harness.errors import HarnessError, Unsupported, UserError
from harness.io.digests import file_digest
from harness.plugin.contract import blamed, official_audio_dim, official_sizes, official_state
from harness.plugin.method import Method, Task
from harness.registry import method_class, setting_errors
from harness.text.loading import load_text_tower
from harness.weights.checkpoints import Header, build_for_weights, copy, misfits, read_header, save_checkpoint
from harness.weights.readers import read_weights, shown, unwrapped


@dataclass(frozen=True)
class Converted:
    """A method with official weights. `entries` counts the official ones it took, `unused` those it has no use for."""

    method: Method
    header: Header
    entries: int
    unused: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write the checkpoint, without a frozen text tower."""
        save_checkpoint(path, self.header, self.method.saved_state())


def convert(
    paths: Sequence[Path],
    name: str,
    card: DatasetCard | None,
    settings: Mapping[str, Any],
    text_tower: str | None,
    say: Callable[[str], None],
) -> Converted:
    """Return method `name` with the weights in official files; `settings` go over the data set's and the shapes'.

    Entries that do not fit are listed by `say`, all of them, one per line.

    Raises:
        UserError: a file is no checkpoint, or an entry is missing, unexpected or of another shape.
    """
    cls = method_class(name)
    label = ", ".join(path.name for path in paths)
    state = _merged(cls, paths)
    dim, audio_dim, sizes = _sizes(cls, state, label)
    with blamed(f"method {name}"), setting_errors(cls, "--set"):
        config = cls.configure(card.settings_family if card else "", "paper", {**sizes, **settings})
    classes, prompts = (card.class_names, card.prompts) if card else (("normal", "abnormal"),) * 2
    tower = load_text_tower(text_tower) if cls.card.needs_text else None
    with blamed(f"method {name}"):
        task = Task(card.name if card else label, classes, prompts, dim, tower, audio_dim)
        method = build_for_weights(cls, config, task)

    own = method.saved_state()
    found: dict[str, Tensor] = {}
    unused, unexpected = [], []
    for key, value in state.items():
        ours = _translated(method, key, value, label)
        if ours and ours.keys() <= own.keys():
            found |= ours
        elif any(re.fullmatch(pattern, key.removeprefix("module.")) for pattern in cls.unused_official):
            unused.append(key)
        else:
            unexpected.append(f"unexpected: {shown(key)} {list(value.shape)}")
    problems = misfits(own, found) + unexpected
    if problems:
        for line in problems:
            say(line)
        kinds = {kind: sum(line.startswith(kind) for line in problems) for kind in ("missing", "unexpected", "shape")}
        counts = f"{kinds['missing']} entries missing, {kinds['unexpected']} unexpected, {kinds['shape']} misshaped"
        raise UserError(f"{label}: no checkpoint of {name}: {counts}{_advice(cls, paths, card, kinds)}")
    copy(method, found, label)
    header = Header(
        method=name,
        config=config.model_dump(mode="json"),
        dim=dim,
        audio_dim=audio_dim,
        file=tuple(path.name for path in paths),
        source=tuple(file_digest(path) for path in paths),
    )
    return Converted(method, header, len(state) - len(unused), tuple(unused))


def _merged(cls: type[Method], paths: Sequence[Path]) -> dict[str, Tensor]:
    """All files' entries; where a method has a file per stream, under the prefix of theirs."""
    merged: dict[str, Tensor] = {}
    stream: Callable[[Mapping[str, Tensor]], str] | None = getattr(cls, "official_stream", None)
    for path in paths:
        if header := read_header(path):
            raise UserError(f"{path}: is converted already, a checkpoint of {header.method}; harness eval reads it")
        state = unwrapped(read_weights(path))
        try:
            prefix = stream(state) if stream else ""
        except Unsupported as error:
            raise UserError(f"{path}: {error}") from error
        state = {prefix + key: value for key, value in state.items()}
        if twice := sorted(merged.keys() & state.keys()):
            raise UserError(f"{path}: holds {shown(twice[0])}, which another of the files holds too")
        merged |= state
    return merged


def _sizes(cls: type[Method], state: Mapping[str, Tensor], label: str) -> tuple[int, int, dict[str, Any]]:
    """Width of the features, how much of it is of the sound, and settings."""
    try:
        with blamed(f"method {cls.card.name}", but=(HarnessError, LookupError, ValueError, TypeError)):
            dim, sizes = official_sizes(cls, state)
            return dim, official_audio_dim(cls, state), sizes
    except HarnessError:
        raise
    except KeyError as error:
        held = ", ".join(shown(key) for key in list(state)[:5])
        more = ", ..." if len(state) > 5 else ""
        raise UserError(
            f"{label}: no checkpoint of {cls.card.name}: {error.args[0]} is missing, which tells a size; "
            f"it holds {held}{more}"
        ) from error
    except (LookupError, ValueError, TypeError) as error:  # an entry of another rank
        raise UserError(f"{label}: no checkpoint of {cls.card.name}: its shapes tell no sizes ({error})") from error


def _translated(method: Method, key: str, value: Tensor, label: str) -> dict[str, Tensor]:
    try:
        with blamed(f"method {method.card.name}", but=(HarnessError, LookupError, ValueError, TypeError, RuntimeError)):
            return official_state(method, {key: value})
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        shape = list(value.shape)
        raise UserError(f"{label}: {method.card.name} cannot read {shown(key)} {shape} ({error})") from error


def _advice(cls: type[Method], paths: Sequence[Path], card: DatasetCard | None, kinds: Mapping[str, int]) -> str:
    if kinds["missing"] and hasattr(cls, "official_stream") and len(paths) == 1:
        return f"; {cls.card.name} has a file per stream, give all of them"
    if kinds["shape"] and card is None:
        return "; shapes may depend on the data set, name it with --dataset"
    return ""
