"""What `harness bench` found: one record for each method, and the document that holds those of one call."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.records.spec import Precision


class Roofline(BaseModel):
    """What a computation could take at the machine's measured peak and bandwidth, beside what it takes.

    `flops` and `bytes` are what it needs at least, `peak_flops` and `bandwidth` (bytes) per second what the machine
    reached in the same arithmetic. `bound` says which of both makes `attainable_seconds`; `share` is its part of the
    `seconds` that were measured.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    flops: int
    bytes: int
    peak_flops: float
    bandwidth: float
    seconds: float
    attainable_seconds: float
    share: float
    bound: Literal["compute", "memory"]


class Bench(BaseModel):
    """A method's figures. Throughput in video frames and snippets per second, latency in milliseconds.

    `settings` are those that the preset does not imply. `latency_ms` is that of a 10-second video, `long_latency_ms`
    that of a 10-minute one. `streaming_ms` is the time for the score of one new snippet of a running camera: of the
    snippet alone where no other changes its score, else of what has been seen, the last window or 10 minutes (see
    `reading`: "online", "window" or "whole"). `peak_memory_mb` is what reading a 10-minute video takes beyond the
    method. `flops` are those of a video of 256 snippets. `growth` maps snippets of a video to seconds, `exponent` is
    fitted to the longest four. `full_training_hours` is extrapolated from single steps. `spread` is that of the
    batch-1 throughput: half the distance between the quartiles as a share of the median. `pass_roofline` is that of
    `best_batch` videos of 256 snippets, `step_roofline` that of a training step.
    """

    # A later version may say more.
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    method: str
    preset: str
    text_tower: str = ""
    device: str
    precision: Precision = "fp32"
    threads: int
    dim: int
    settings: dict[str, Any] = {}
    frames_per_second: float
    snippets_per_second: float
    spread: float
    best_batch: int
    best_frames_per_second: float
    latency_ms: dict[str, float]
    long_latency_ms: dict[str, float]
    reading: str = ""
    streaming_ms: float | None = None
    peak_memory_mb: float | None
    parameters: int
    trainable_parameters: int
    flops: int
    growth: dict[int, float]
    exponent: float | None
    step_seconds: float | None = None
    training_steps: int | None = None
    full_training_hours: float | None = None
    pass_roofline: Roofline | None = None
    step_roofline: Roofline | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return self.model_dump(mode="json")


class BenchDocument(BaseModel):
    """All methods of one benchmark; `machine` says what their figures depend on besides the code."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rows: tuple[Bench, ...]
    machine: dict[str, str] = {}
    dataset: str = ""
    features: str = ""
    time: str = ""
