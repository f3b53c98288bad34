"""How fast methods are and what they need: test pass, latency, growth with length, memory, training steps.

In come methods and a feature width, out goes the throughput table. Imports check, training, tracking and the drawing
parts of `harness.report`.
"""

from __future__ import annotations

from harness.bench.measure import BenchPlan, bench_method
from harness.records.benchmark import Bench

__all__ = ["Bench", "BenchPlan", "bench_method"]
