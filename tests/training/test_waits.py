"""A training step does not make the host wait for an accelerator, but where the table says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.plugin import Batch, Method, Task, TrainingPlan, TrainingVideo
from harness.registry import method_class, method_names
from harness.text.loading import load_text_tower
from harness.training.steps import backward, end_epoch, update
from tests.training.test_watch import Deferring
from tests.training.waits import Waits

TRAINED = [name for name in method_names() if method_class(name).card.training == "gradient"]
# What is left, in two steps.
KNOWN: dict[str, dict[str, int]] = {
    # How many abnormal snippets are the farthest of their video or of the batch, for both layers.
    "bnwvad": {"nonzero": 4},
    # From which end, and how far, the K-th highest score is sought: K is a share of each video's length. And as `rtfm`.
    "cliptsa": {"_local_scalar_dense": 8},
    # The batch is cut to its longest video, which is as long as it has pictures that are not zero.
    "macilsd": {"_local_scalar_dense": 2},
    # An abnormal video has two texts, a normal one has one.
    "pel4vad": {"index by a mask": 6, "index_put by a mask": 2},
    # Whether all videos are of full length: asked on a CPU alone.
    "rtfm": {"_local_scalar_dense": 2},
}


def _method(name: str) -> tuple[Method, Batch]:
    """A method under its `fast` preset, and a batch of videos of which two, where it pads, are short."""
    cls = method_class(name)
    text = load_text_tower(None) if cls.card.needs_text else None
    sound = 512 if cls.card.track == "audio-visual" else 0
    task = Task("d", ("Normal", "Fire", "Fight"), ("normal", "fire", "fight"), 512 + sound, text, sound)
    torch.manual_seed(0)
    method = cls(cls.configure("", "fast", {}), task)
    sampling, labels = method.sampling(), torch.eye(3)[[0, 0, 1, 2]]
    length = sampling.length
    lengths = torch.tensor([length, length // 3, length, length // 2] if "pad" in sampling.fit else [length] * 4)
    features = torch.randn(4, length, task.dim) * (torch.arange(length) < lengths[:, None])[:, :, None]
    clicks = torch.zeros(4, length)
    clicks[2:, length // 4] = 1
    method.prepare([TrainingVideo(x, label) for x, label in zip(features, labels, strict=True)])
    return method.train(), Batch(features, lengths, labels, 2, clicks=clicks, host_lengths=lengths.clone())


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_step_waits_where_the_table_says(name: str) -> None:
    method, batch = _method(name)
    schedules = method.schedules(TrainingPlan(2, 1, (1, 1)))
    watch = Deferring(list(schedules), "cpu")
    there = [batch.features, batch.lengths, batch.labels, batch.clicks, watch.stopped]
    with Waits([x for x in [*there, *method.parameters(), *method.buffers()] if x is not None]) as waits:
        for step in (1, 2):  # of one epoch each: a method may do something else in the second
            backward(method, schedules, batch, step, watch)
            update(schedules, 1.0, watch.stopped)
            end_epoch(schedules)
    assert dict(waits.found) == KNOWN.get(name, {})
    assert name not in ("dsanet", "vadclip") or not waits.found
    assert all(row.finite for row in watch.read())


def _masked(x: Tensor) -> Tensor:
    return x[x > 0].sum()


@pytest.mark.parametrize(
    ("compute", "found"),
    [
        (lambda x, host: x.sum().item(), {"_local_scalar_dense": 1}),
        (lambda x, host: float((x.detach() * 2).max()), {"_local_scalar_dense": 1}),
        (lambda x, host: bool(x.isfinite().all()), {"_local_scalar_dense": 1}),
        (lambda x, host: _masked(x).backward(), {"index by a mask": 1, "index_put by a mask": 1}),
        (lambda x, host: (x > 0).nonzero(), {"nonzero": 1}),
        (lambda x, host: x.masked_select(x > 0), {"masked_select": 1}),
        (lambda x, host: torch.equal(x, x + 1), {"equal": 1}),
        (lambda x, host: x.unique(), {"_unique2": 1}),
        (lambda x, host: x.repeat_interleave((x > 0).long()), {"repeat_interleave": 1}),
        (lambda x, host: x.detach().tolist(), {"tolist": 1}),
        (lambda x, host: host.to(x.device), {"to (from the host)": 1}),
        (lambda x, host: torch.tensor([1.0], device=x.device), {"tensor (from the host)": 1}),
        (lambda x, host: host.to(x.device, non_blocking=True), {}),
        (lambda x, host: (host.tolist(), int(host.max()), host[host > 0]), {}),
        (lambda x, host: x.index_select(0, host.nonzero().squeeze(1)).sum().backward(), {}),
    ],
)
def test_waits_are_found(compute: Callable[[Tensor, Tensor], object], found: dict[str, int]) -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    with Waits([x]) as waits:
        compute(x, torch.tensor([0, 1, 1]))
    assert dict(waits.found) == found
