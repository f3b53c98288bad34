"""PyOD's autoencoder beside the weakly supervised methods: its own training code, unchanged, through the plugin door.

One-class detection: it learns to reconstruct snippets of normal training videos; what it reconstructs badly is
anomalous. PyOD (BSD, https://github.com/yzhao062/pyod) seeds every global generator and sets an environment variable;
the fence undoes that.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from harness.errors import HarnessError
from harness.plugin import Method, MethodCard, MethodConfig, Prediction, Task, TrainingVideo


class PyODAutoEncoderConfig(MethodConfig):
    """`snippets` evenly spaced ones of each normal video are learned from; the rest are PyOD's own settings."""

    snippets: int = 32
    hidden: tuple[int, ...] = (64, 32)
    epochs: int = 10
    batch: int = 256
    lr: float = 1e-3
    dropout: float = 0.2


class PyODAutoEncoder(Method):
    """`pyod.models.auto_encoder.AutoEncoder`, trained by `fit`; scores are distances to the reconstruction."""

    card = MethodCard(
        name="pyod-autoencoder",
        title="Autoencoder (PyOD)",
        family="floor",
        training="closed-form",
        bounded=False,
    )
    Config = PyODAutoEncoderConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "fast": {"epochs": 5}}
    config: PyODAutoEncoderConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: PyODAutoEncoderConfig, task: Task) -> None:
        super().__init__(config, task)
        # The harness seeds the building of a method; the training gets its seed from here.
        self.seed = int(torch.randint(2**31, ()))
        with fenced():
            from pyod.models.auto_encoder import AutoEncoderModel

            self.network = AutoEncoderModel(task.dim, list(config.hidden), dropout_rate=config.dropout)
        self.register_buffer("mean", torch.zeros(task.dim))
        self.register_buffer("std", torch.ones(task.dim))

    def fit(self, videos: Iterable[TrainingVideo]) -> None:
        """Train on snippets of the normal videos.

        Raises:
            HarnessError: there are no normal videos.
        """
        c, normal = self.config, []
        for video in videos:
            if video.labels[0]:
                rows = np.linspace(0, len(video.features) - 1, min(c.snippets, len(video.features))).astype(int)
                normal.append(video.features[rows].numpy())
        if not normal:
            raise HarnessError("pyod-autoencoder needs normal training videos")
        snippets = np.concatenate(normal)
        with fenced():
            from pyod.models.auto_encoder import AutoEncoder

            detector = AutoEncoder(
                lr=c.lr,
                epoch_num=c.epochs,
                batch_size=min(c.batch, len(snippets)),
                device=self.mean.device,
                random_state=self.seed % 2**31,
                verbose=0,
                hidden_neuron_list=list(c.hidden),
                dropout_rate=c.dropout,
            )
            detector.fit(snippets)
        self.network.load_state_dict(detector.model.state_dict())
        self.mean.copy_(torch.from_numpy(detector.X_mean))
        self.std.copy_(torch.from_numpy(detector.X_std + 1e-8))

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        """Scores `[B, T]`: what PyOD's `decision_function` says of each snippet."""
        rows = (features - self.mean) / self.std
        rebuilt = self.network(rows.flatten(0, 1)).view_as(rows)
        return Prediction((rows - rebuilt).norm(dim=2))


@contextmanager
def fenced() -> Iterator[None]:
    """Leave the global generators and the environment as they were."""
    # These are what PyOD seeds.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    environment = dict(os.environ)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
