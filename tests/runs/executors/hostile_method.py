"""A third-party method that cheats or does harm on demand; workers import it through its entry point."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from harness.plugin import (
    Batch,
    Method,
    MethodCard,
    MethodConfig,
    Prediction,
    Sampling,
    Schedule,
    Task,
    TrainingPlan,
)

# What one run could leave for the next one of the same process.
KEPT: list[Tensor] = []


class HostileConfig(MethodConfig):
    deed: str = "none"
    # A directory of the test's own, for what a deed leaves as a trace.
    place: str = ""


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Hostile(Method):
    """One linear layer; in training and in predict it does what `deed` says, or each of several joined by +."""

    card = MethodCard(name="hostile", title="Hostile", family="mil")
    Config = HostileConfig
    config: HostileConfig

    def __init__(self, config: HostileConfig, task: Task) -> None:
        super().__init__(config, task)
        self.score = nn.Linear(task.dim, 1)
        self.register_buffer("seen", torch.tensor(float(len(KEPT))))

    def sampling(self) -> Sampling:
        return Sampling("pairs", 4, 16, epochs=1, steps_per_epoch=1)

    def schedules(self, plan: TrainingPlan) -> list[Schedule]:
        return [Schedule(Adam(self.parameters(), lr=0.01))]

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        for deed in self._deeds("train"):
            deed()
        scores = self.score(batch.features).squeeze(-1).sigmoid().amax(dim=1)
        return {"bce": nn.functional.binary_cross_entropy(scores.float(), batch.abnormal.float())}

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        scores = self.score(features).squeeze(-1).sigmoid()
        for deed in self._deeds("predict"):
            found = deed(features, scores)
            scores = scores if found is None else found
        return Prediction(scores)

    def _deeds(self, when: str) -> list[Callable[..., Any]]:
        names = (f"{when}_{deed.replace('-', '_')}" for deed in self.config.deed.split("+"))
        return [getattr(self, name) for name in names if hasattr(self, name)]

    # Cheating.

    def predict_bank(self, features: Tensor, scores: Tensor) -> None:
        from harness.data.cards import find_card, open_bank

        open_bank(find_card(self.task.dataset), None).truth()

    def predict_disk(self, features: Tensor, scores: Tensor) -> None:
        path = Path(os.environ["HARNESS_HOME"]) / "banks" / "demo" / "synthetic" / "truth.json"
        path.read_text(encoding="utf-8")

    def predict_program(self, features: Tensor, scores: Tensor) -> None:
        path = Path(os.environ["HARNESS_HOME"]) / "banks" / "demo" / "synthetic" / "truth.json"
        read = subprocess.run(["cat", str(path)], capture_output=True, check=True).stdout
        (Path(self.config.place) / "program").write_bytes(read[:20])

    def predict_keep(self, features: Tensor, scores: Tensor) -> None:
        KEPT.append(features.clone())

    predict_keep_again = predict_keep

    def predict_batch(self, features: Tensor, scores: Tensor) -> Tensor:
        return (scores + scores.mean()) / 2

    def predict_write(self, features: Tensor, scores: Tensor) -> None:
        maps = [found for found in gc.get_objects() if isinstance(found, np.memmap)]
        assert maps, "the test split is mapped"
        maps[0].flags.writeable = True
        maps[0][:] = 0

    def predict_write_raw(self, features: Tensor, scores: Tensor) -> None:
        maps = [found for found in gc.get_objects() if isinstance(found, np.memmap)]
        ctypes.memset(maps[0].ctypes.data, 0, 64)

    # Harm to the process.

    def train_patch(self) -> None:
        torch.sigmoid = torch.Tensor.sigmoid = lambda scores: 0 * scores + 0.5

    def train_patch_raise(self) -> None:
        torch.sigmoid = torch.Tensor.sigmoid = lambda scores: 0 * scores + 0.5
        raise RuntimeError("patched and gone")

    def train_dtype(self) -> None:
        torch.set_default_dtype(torch.float64)

    def train_chdir(self) -> None:
        os.chdir("/")

    def train_fork(self) -> None:
        child = os.fork()
        if not child:
            time.sleep(600)
            os._exit(0)
        (Path(self.config.place) / "child").write_text(str(child))
        os._exit(5)

    def train_leave(self) -> None:
        """A child in a session of its own, whose parent is gone."""
        wait = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
        start = "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True)"
        mark = Path(self.config.place) / "left"
        subprocess.run([sys.executable, "-c", start, sys.executable, "-c", wait, str(mark)], check=True)
        while not mark.exists() or not mark.read_text():
            time.sleep(0.01)

    def train_leak(self) -> None:
        for _ in range(60):  # 3 GB
            KEPT.append(torch.ones(50_000_000 // 4))
            time.sleep(0.02)
        raise RuntimeError("nobody stopped it")

    def train_leak_child(self) -> None:
        """The memory of a child counts as well."""
        hold = "import time; held = [bytearray(50_000_000) for _ in range(40) if not time.sleep(0.02)]; time.sleep(600)"
        subprocess.run([sys.executable, "-c", hold], check=True)

    def train_stop(self) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def train_babble(self) -> None:
        """Never ends, but is never silent either."""
        from multiprocessing import connection

        pipes = [found for found in gc.get_objects() if isinstance(found, connection.Connection)]
        while True:
            pipes[0].send_bytes(b'{"kind": "moved", "done": 0, "total": 1}')
            time.sleep(0.01)

    def train_nonsense(self) -> None:
        from multiprocessing import connection

        pipes = [found for found in gc.get_objects() if isinstance(found, connection.Connection)]
        pipes[0].send_bytes(b"\x80\x04nonsense")
        time.sleep(600)

    def train_unspeakable(self) -> None:
        raise Unspeakable
