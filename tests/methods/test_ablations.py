"""Every part that a method says can be switched off can be, and makes a difference."""

from __future__ import annotations

import functools

import pytest
import torch

from harness.plugin import Batch, Method, Task, TrainingVideo
from harness.registry import method_class, method_names
from harness.text.loading import load_text_tower

PARTS = [(name, part) for name in method_names() for part in method_class(name).ablations]


@functools.cache
def _trained(cls: type[Method], part: str) -> tuple[dict[str, torch.Tensor], int]:
    """Loss terms of one step without `part` and the number of parameters, under the `fast` preset."""
    settings = cls.ablations[part] if part else {}
    text = load_text_tower(None) if cls.card.needs_text else None
    sound = 512 if cls.card.track == "audio-visual" else 0
    task = Task("d", ("Normal", "Fire", "Fight"), ("normal", "fire", "fight"), 512 + sound, text, sound)
    torch.manual_seed(0)
    method = cls(cls.configure("", "fast", settings), task)
    length = method.sampling().length
    labels = torch.eye(3)[[0, 0, 1, 2]]
    # Videos of different scales: what is selected over the batch then differs from what is selected in each video.
    features = torch.randn(4, length, task.dim) * torch.tensor([1.0, 1.0, 0.3, 3.0])[:, None, None]
    clicks = torch.zeros(4, length)
    clicks[2:, length // 2] = 1
    batch = Batch(features, torch.full((4,), length), labels, normal=2, clicks=clicks)
    videos = zip(batch.features, labels, strict=True)
    method.prepare(TrainingVideo(features, label) for features, label in videos)
    method.train()
    torch.manual_seed(1)
    terms = method.training_loss(batch)
    torch.stack([term.reshape(()) for term in terms.values()]).sum().backward()
    # Detached: the graph of a term that is kept would keep its model.
    return {name: term.detach() for name, term in terms.items()}, sum(p.numel() for p in method.parameters())


@pytest.mark.parametrize(("name", "part"), PARTS, ids=[f"{name} without {part}" for name, part in PARTS])
def test_part_switches_off(name: str, part: str) -> None:
    cls = method_class(name)
    if part in (late := {"smoothing": "at test", "mining": "at a later step"}):
        pytest.skip(f"acts {late[part]} only")
    whole, parameters = _trained(cls, "")
    less, fewer = _trained(cls, part)
    same = set(whole) == set(less) and all(torch.equal(whole[term], less[term]) for term in whole)
    assert fewer < parameters or not same
    assert all(torch.isfinite(term).all() for term in less.values())
