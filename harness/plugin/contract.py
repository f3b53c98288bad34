"""Asks a method and checks the type of what it answers, so that an error says who, what must be, and what is.

Values are checked elsewhere: what they may be depends on who asks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from harness.errors import BrokenMethod, HarnessError, Unsupported, one_line
from harness.plugin.method import (
    Batch,
    Looks,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Reading,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)

_Plain = TypeVar("_Plain", Sampling, Reading, Looks)


def check_class(found: object, who: str) -> type[Method]:
    """Return `found` if it is a method class whose attributes are of the right types.

    Raises:
        BrokenMethod: it is not; the text begins with `who`.
    """
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise BrokenMethod(f"{who}: must be a subclass of harness.plugin.Method, got {_kind(found)}")
    card = getattr(found, "card", None)
    if not isinstance(card, MethodCard):
        raise BrokenMethod(f"{who}: `card` must be a MethodCard, got {_kind(card)}")
    config = found.Config
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        raise BrokenMethod(f"{who}: `Config` must be a subclass of MethodConfig, got {_kind(config)}")
    for name in ("defaults", "presets", "ablations"):
        value = getattr(found, name)
        parts = value.values() if isinstance(value, Mapping) else [value]
        if wrong := [part for part in parts if not isinstance(part, Mapping)]:
            raise BrokenMethod(f"{who}: `{name}` must map names to settings, got {_kind(wrong[0])}")
    if inspect.isabstract(found):
        raise BrokenMethod(f"{who}: must be a class that can be built, got an abstract one")
    return found


@contextmanager
def blamed(who: str, but: tuple[type[Exception], ...] = (HarnessError,)) -> Iterator[None]:
    """Turn whatever a method's own code raises meanwhile into BrokenMethod; `but` passes."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        raise BrokenMethod(f"{who}: its code failed ({one_line(error)})") from error


def configure(cls: type[Method], family: str, preset: str, chosen: Mapping[str, Any]) -> MethodConfig:
    """Return the method's config.

    Raises:
        ValidationError: a setting is wrong.
        BrokenMethod: it is none, or the method's own code raised anything else.
    """
    with blamed(f"method {cls.card.name}", but=(ValidationError,)):
        found: Any = cls.configure(family, preset, chosen)
    if not isinstance(found, MethodConfig):
        raise _wrong(cls, "configure", "a MethodConfig", found)
    return found


def check(cls: type[Method], task: Task) -> None:
    """Raise Unsupported if the method says that it cannot run on the task, BrokenMethod if it raises anything else."""
    with blamed(f"method {cls.card.name}", but=(Unsupported,)):
        cls.check(task)


def sampling(method: Method) -> Sampling:
    """Return how the method wants training batches drawn; raises BrokenMethod if it says no such thing."""
    return _plain(method, "sampling", method.sampling, Sampling)


def reading(method: Method) -> Reading:
    """Return how the method reads a test video; raises BrokenMethod if it says no such thing."""
    return _plain(method, "reading", method.reading, Reading)


def looks(method: Method) -> Looks:
    """Return how often the official code evaluates; raises BrokenMethod if the method says no such thing."""
    return _plain(method, "looks", method.looks, Looks)


def schedules(method: Method, plan: TrainingPlan) -> Sequence[Schedule]:
    """Return the method's optimizers with their learning-rate schedules.

    Raises:
        BrokenMethod: they are no list of Schedule, or one of them holds something else than its fields say.
    """
    found: Any = method.schedules(plan)
    must = "a list of Schedule, one or more"
    if not isinstance(found, Sequence) or not found:
        raise _wrong(method, "schedules", must, found)
    for each in found:
        if not isinstance(each, Schedule):
            raise _wrong(method, "schedules", must, found)
        rates = each.scheduler
        if not isinstance(each.optimizer, torch.optim.Optimizer):
            raise _wrong(method, "schedules", "a torch optimizer in Schedule.optimizer", each.optimizer)
        if rates is not None and not (hasattr(rates, "step") and hasattr(rates, "state_dict")):
            raise _wrong(method, "schedules", "a learning-rate scheduler or None in Schedule.scheduler", rates)
        if each.interval not in ("step", "epoch"):
            raise _wrong(method, "schedules", "'step' or 'epoch' in Schedule.interval", each.interval)
    return found


def terms(method: Method, batch: Batch) -> dict[str, Tensor]:
    """Return the loss terms of a batch, tensors of no dimension by name; raises BrokenMethod if they are not such."""
    found: Any = method.training_loss(batch)
    must = "a dict of 0-d tensors by name, one or more"
    if not isinstance(found, dict) or not found:
        raise _wrong(method, "training_loss", must, found)
    for name, term in found.items():
        if not isinstance(name, str) or not isinstance(term, Tensor) or term.dim():
            raise _wrong(method, "training_loss", must, term, f" as term {name!r}")
    return found


def prediction(method: Method, features: Tensor, lengths: Tensor) -> Prediction:
    """Return what the method predicts of features `[B, T, D]`.

    Raises:
        BrokenMethod: it is no Prediction of tensors; of which shape is not looked at.
    """
    found: Any = method.predict(features, lengths)
    if not isinstance(found, Prediction):
        raise _wrong(method, "predict", "a Prediction", found)
    if not isinstance(found.scores, Tensor):
        raise _wrong(method, "predict", "a tensor in Prediction.scores", found.scores)
    if not isinstance(found.class_probs, (Tensor, type(None))):
        raise _wrong(method, "predict", "a tensor or None in Prediction.class_probs", found.class_probs)
    return found


def saved_state(method: Method) -> dict[str, Tensor]:
    """Return what is to be saved of the method; raises BrokenMethod unless it is a dict of tensors by name."""
    found: Any = method.saved_state()
    if not isinstance(found, dict):
        raise _wrong(method, "saved_state", "a dict of tensors by name", found)
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _wrong(method, "saved_state", "a dict of tensors by name", value, f" as {name!r}")
    return found


def official_sizes(cls: type[Method], state: Mapping[str, Tensor]) -> tuple[int, dict[str, Any]]:
    """Return the width and the settings that the shapes of an official checkpoint tell.

    Raises:
        BrokenMethod: they are of a wrong type; what the method itself raises passes.
    """
    found: Any = cls.official_sizes(state)
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], int) and isinstance(found[1], dict)):
        raise _wrong(cls, "official_sizes", "the width and a dict of settings", found)
    return found


def official_audio_dim(cls: type[Method], state: Mapping[str, Tensor]) -> int:
    """Return how many channels of an official checkpoint's features are of the sound.

    Raises:
        BrokenMethod: it is no number; what the method itself raises passes.
    """
    found: Any = cls.official_audio_dim(state)
    if not isinstance(found, int):
        raise _wrong(cls, "official_audio_dim", "a number of channels", found)
    return found


def official_state(method: Method, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return entries of an official checkpoint under our names; raises BrokenMethod if it is no dict."""
    found: Any = method.official_state(state)
    if not isinstance(found, dict):
        raise _wrong(method, "official_state", "a dict of tensors by name", found)
    return found


# What each field of a plain answer may hold.
_FIELDS: Mapping[Any, Mapping[str, TypeAdapter[Any]]] = {
    kind: {name: TypeAdapter(hint) for name, hint in get_type_hints(kind).items()}
    for kind in (Sampling, Reading, Looks)
}


def _plain(method: Method, name: str, ask: Callable[[], Any], kind: type[_Plain]) -> _Plain:
    found = ask()
    if not isinstance(found, kind):
        raise _wrong(method, name, f"a {kind.__name__}", found)
    for field, allowed in _FIELDS[kind].items():
        value = getattr(found, field)
        try:
            allowed.validate_python(value, strict=True)
        except ValidationError as error:
            must = error.errors()[0]["msg"].removeprefix("Input should be ")
            raise _wrong(method, name, f"{must} in {kind.__name__}.{field}", value) from error
    return found


def _wrong(method: Method | type[Method], name: str, must: str, got: object, where: str = "") -> BrokenMethod:
    return BrokenMethod(f"{method.card.name}: {name} must give {must}; got {_kind(got)}{where}")


def _kind(value: object) -> str:
    """What a value is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, (str, int, float)):
        return f"{value!r}"[:80]
    if isinstance(value, (dict, list, tuple)):
        inside = value.values() if isinstance(value, dict) else value
        first = next(iter(inside), None)
        held = f" of {type(first).__name__}" if inside else ""
        return f"{'an empty' if not inside else 'a'} {type(value).__name__}{held}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
