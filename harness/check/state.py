"""Checks of a method's state: that it is all saved and all moves, and that the process's is left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.check.subject import Subject
from harness.check.verdict import Skipped, difference, listed, require, same_predictions
from harness.plugin.method import Method

# What another device may give, whose convolutions may round to 10 bits.
DEVICE_ROUNDING = 1e-2


def save_load(subject: Subject) -> str:
    """Saved, read back as safetensors and loaded into a method of another seed: identical predictions."""
    from safetensors.torch import load, save

    videos = subject.videos(5, 40, 19)
    saved = {name: tensor.detach().contiguous() for name, tensor in subject.learned.saved_state().items()}
    other = subject.build(seed=1)
    other.load_saved_state(load(save(saved)))
    kept = same_predictions(subject.predict(subject.learned, videos), subject.predict(other, videos))
    require(kept, "the loaded method predicts other scores: part of what it learned or drew is not in saved_state")
    return f"{len(saved)} tensors"


def device(subject: Subject) -> str:
    """To the GPU and back: there it learns and predicts the same up to rounding, and here again identical scores."""
    if not torch.cuda.is_available():
        names = left_behind(subject.build())
        rest = f"; .to(device) leaves these behind: {listed(names)}" if names else ""
        raise Skipped(f"no CUDA device here{rest}")
    method, videos = subject.build(), subject.videos(5, 40, 19)
    subject.learn(method, steps=1)
    here = subject.predict(method, videos)
    try:
        there = subject.predict(method.to("cuda"), videos, "cuda")
        require(there.scores.is_cuda, "on a CUDA device, predict gives scores on another one")
        error = difference(here.scores, there.scores.cpu())
        require(error <= DEVICE_ROUNDING, f"scores on the CUDA device differ by {error:.1e}")
        back = subject.predict(method.to("cpu"), videos)
        require(same_predictions(here, back), "back from the CUDA device, predict gives other scores")
        if subject.by_gradient:
            subject.learn(method, steps=1, device="cuda")
    finally:
        method.to("cpu")  # with the text tower, which other checks use
    return f"{torch.cuda.get_device_name()}: scores differ by {error:.1e}"


def global_state(subject: Subject) -> str:
    """Nothing that belongs to the process changes: generators (training may draw from torch's), default dtype, ..."""
    method, threads = subject.learned, torch.get_num_threads()
    torch.set_num_threads(threads + 1)  # so that a method that sets its own number shows
    try:
        subject.build()
        if subject.by_gradient:
            for batch in subject.batches(method, steps=1).epoch(0):
                subject.terms(method, batch)
        subject.predict(method, subject.videos(5, 40))
    finally:
        torch.set_num_threads(threads)
    changes = [*subject.changes, *(f"it changes {name}" for name in subject.state.patches())]
    require(not changes, "; ".join(dict.fromkeys(changes)))
    return ""


def left_behind(method: Method) -> list[str]:
    """Attributes that hold tensors or modules which `.to(device)` does not move; the task's own are left out."""
    own = set(vars(nn.Module()))
    found = []
    for name, module in method.named_modules():
        for key, value in vars(module).items():
            if key not in own | {"task", "config"} and _holds_tensor(value):
                found.append(f"{name}.{key}" if name else key)
    return found


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (Tensor, nn.Module)):
        return True
    if isinstance(value, Mapping):
        return any(map(_holds_tensor, value.values()))
    if isinstance(value, (list, tuple, set)):
        return any(map(_holds_tensor, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return any(_holds_tensor(getattr(value, f.name)) for f in dataclasses.fields(value))
    return False
