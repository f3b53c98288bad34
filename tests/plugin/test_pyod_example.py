"""A peer's view: a library's own training code, unchanged, becomes a method through the plugin door alone."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.check import CHECKS, check_method
from harness.plugin import Method, Task, TrainingVideo
from harness.registry import _entries, method_class
from tests.installed import installed

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "harness-pyod"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package, installed and on the path of this process."""
    site = str(installed(EXAMPLE, tmp_path_factory.mktemp("peer")))
    sys.path.insert(0, site)
    for cache in (_entries, method_class):
        cache.cache_clear()
    yield
    sys.path.remove(site)
    for cache in (_entries, method_class):
        cache.cache_clear()


@pytest.mark.parametrize("check", CHECKS)
def test_it_passes_the_shared_check(check: str) -> None:
    check_method("pyod-autoencoder", [check], snippets=5_000)


def videos() -> Iterator[TrainingVideo]:
    generator = torch.Generator().manual_seed(3)
    for index in range(12):
        label = torch.tensor([1.0, 0.0] if index % 2 == 0 else [0.0, 1.0])
        yield TrainingVideo(torch.randn(40, 16, generator=generator) + 3, label)


def built(seed: int) -> Method:
    cls = method_class("pyod-autoencoder")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return cls(cls.Config(), Task("set", ("Normal", "Anomaly"), ("normal", "anomaly"), 16)).eval()


def test_its_scores_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    from pyod.models.auto_encoder import AutoEncoder

    made = []
    fit = AutoEncoder.fit
    monkeypatch.setattr(AutoEncoder, "fit", lambda self, x: (made.append(self), fit(self, x))[1])
    method = built(0)
    method.fit(videos())
    test = torch.randn(3, 20, 16, generator=torch.Generator().manual_seed(4)) * 2 + 3
    with torch.inference_mode():
        scores = method.predict(test, torch.tensor([20, 20, 20])).scores
    expected = made[0].decision_function(test.flatten(0, 1).numpy())
    np.testing.assert_allclose(scores.flatten().numpy(), expected, rtol=1e-5)
    assert made[0].data_num == 6 * 32, "evenly spaced snippets of normal videos alone"


def test_what_the_library_seeds_is_put_back() -> None:
    method = built(0)
    before = state()
    method.fit(videos())
    assert state() == before


def state() -> tuple[object, ...]:
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return random.getstate(), numpy, torch.get_rng_state().tolist(), dict(os.environ)
