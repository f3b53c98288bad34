"""A training step of every method beside the plain one: loss, backward pass, optimizers. Run with `tox -e bench`."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from harness.methods.layers.dropout import dropout
from harness.plugin import Batch, Method
from harness.registry import method_class
from tests.benchmarks.workload import SMALL, batch, both, compared, names, report, schedules, size, step

TARGETS = {"dsanet": 1.4, "vadclip": 1.4, "urdmu": 1.3, "rtfm": 1.3}
TRAINED = [name for name in names() if method_class(name).card.training == "gradient"]
# Methods that zero-pad short training videos.
PADDING = [name for name in TRAINED if name in ("dsanet", "vadclip", "hlnet", "pel4vad")]
CASES = [(name, "full") for name in TRAINED] + [(name, "ucf-crime") for name in PADDING]


@pytest.mark.benchmark(group="training step")
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
@pytest.mark.parametrize(("name", "lengths"), CASES)
def test_training_step(benchmark: BenchmarkFixture, say: Callable[[str], None], name: str, lengths: str) -> None:
    """8 normal and 8 abnormal videos, all of full length or, where a method pads, with UCF-Crime's own lengths."""
    if benchmark.disabled and lengths == "full" and name in PADDING:
        pytest.skip("a benchmark")  # with UCF-Crime's lengths, both compute what full ones ask for, and more
    scale = size(benchmark)
    plain, ours = both(name, scale)
    drawn = batch(ours, scale.videos, full=lengths == "full")
    assert bool((drawn.lengths == drawn.features.shape[1]).all()) == (lengths == "full")
    methods = (plain.train(), ours.train())
    with torch.random.fork_rng():
        agree(*(outcome(method, batch(ours, SMALL.videos, full=lengths == "full")) for method in methods))
        if benchmark.disabled:
            return
        steps = [partial(step, method, schedules(method), drawn) for method in methods]
        report(
            benchmark,
            say,
            f"{name}, training step, lengths {lengths}",
            compared(benchmark, *steps, rounds=5),
            TARGETS.get(name, 1),
        )


Outcome = tuple[dict[str, Tensor], dict[str, Tensor]]


def outcome(method: Method, drawn: Batch) -> Outcome:
    """Return loss terms and gradients in float64, where a wrong number is no rounding error."""
    method = copy.deepcopy(method).double()
    torch.manual_seed(0)
    batch = dataclasses.replace(drawn, features=drawn.features.double(), labels=drawn.labels.double())

    def equal_masks(x: Tensor, share: float, training: bool) -> Tensor:
        """Our dropout in place of torch's, which the plain method may call on [B, D, T] where ours has [B, T, D]."""
        length = batch.features.shape[1]
        if x.dim() == 3 and x.shape[2] == length != x.shape[1]:
            return dropout(x.transpose(1, 2), share, training).transpose(1, 2)
        return dropout(x, share, training)

    with patch("torch.nn.functional.dropout", equal_masks):
        terms = method.training_loss(batch)
    torch.stack([term.reshape(()) for term in terms.values()]).sum().backward()
    gradients = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return {name: term.detach() for name, term in terms.items()}, gradients


def agree(expected: Outcome, found: Outcome) -> None:
    """Assert that terms agree to 1e-9 of their value, and gradients to 1e-7 of their length or 1e-10 of that of all."""
    terms, gradients = found
    assert terms.keys() == expected[0].keys()
    for name, value in expected[0].items():
        torch.testing.assert_close(terms[name].reshape(()), value.reshape(()), rtol=1e-9, atol=1e-12, msg=name)
    assert gradients.keys() == expected[1].keys()
    total = float(torch.nn.utils.get_total_norm(expected[1].values()))
    for name, value in expected[1].items():
        assert float((gradients[name] - value).norm()) <= 1e-7 * float(value.norm()) + 1e-10 * total, name
