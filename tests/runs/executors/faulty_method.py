"""A third-party method that goes wrong on demand; workers import it through its entry point."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

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


class FaultyConfig(MethodConfig):
    fault: str = "none"
    # The fault strikes at this step.
    at: int = 3
    # A file that the fault writes; while it exists the fault does not strike again.
    once: str = ""
    epochs: int = 4
    pause: float = 0.0


class Faulty(Method):
    """One linear layer."""

    card = MethodCard(name="faulty", title="Faulty", family="mil")
    Config = FaultyConfig
    config: FaultyConfig

    def __init__(self, config: FaultyConfig, task: Task) -> None:
        super().__init__(config, task)
        self.score = nn.Linear(task.dim, 1)
        self.drop = nn.Dropout(0.2)
        self.step = 0

    def sampling(self) -> Sampling:
        return Sampling("pairs", 4, 16, self.config.epochs, steps_per_epoch=2)

    def schedules(self, plan: TrainingPlan) -> list[Schedule]:
        return [Schedule(Adam(self.parameters(), lr=0.01))]

    def training_loss(self, batch: Batch) -> dict[str, Tensor]:
        self.step += 1
        time.sleep(self.config.pause)
        scores = self.score(self.drop(batch.features)).squeeze(-1).sigmoid().amax(dim=1)
        loss = nn.functional.binary_cross_entropy(scores, batch.abnormal)
        marker = Path(self.config.once) if self.config.once else None
        strikes = self.config.fault != "none" and self.step == self.config.at
        if strikes and not (marker and marker.exists()):
            if marker:
                marker.touch()
            loss = self.strike(loss)
        return {"bce": loss}

    def strike(self, loss: Tensor) -> Tensor:
        fault = self.config.fault
        if fault == "raise":
            raise RuntimeError("no such luck")
        if fault == "nan":
            return loss * float("nan")
        if fault == "hang":
            time.sleep(600)
        if fault == "memory":
            raise MemoryError("cannot allocate 900 GiB")
        if fault == "exit":
            os._exit(7)
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "fill":
            with contextlib.suppress(OSError), Path(f"{self.config.once}.fill").open("wb", buffering=0) as stream:
                while stream.write(b"0" * 65536):
                    pass
        if fault == "print":
            print("a method that prints", flush=True)
        return loss

    def predict(self, features: Tensor, lengths: Tensor) -> Prediction:
        logits = self.score(features).squeeze(-1)
        if self.config.fault == "chaos":  # the last bits of the weights decide which end is up
            logits = logits * torch.sin(1e8 * self.score.weight.double().sum()).sign()
        return Prediction(logits.float().sigmoid())
