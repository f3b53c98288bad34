"""A training step at official size, each side in a process of its own: `python -m tests.benchmarks.official_step`.

Ours as a worker of `harness run` takes it, the plain one as a script of its own would: as many videos as the preset
`paper` takes, UCF-Crime's size, all threads. Processes take turns, so that the machine is equally warm for both. It
needs up to 20 GB of memory and, for DSANet and VadCLIP, half an hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

SIDES = ("plain", "ours")
# Steps of one process, the first of which warms up.
_STEPS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many times faster ours is, the lowest and highest such ratio of a turn, and the seconds of a step."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.official_step", description=__doc__)
    parser.add_argument("--methods", default="dsanet,vadclip")
    parser.add_argument("--lengths", choices=("full", "ucf-crime"), default="full")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help="take the steps of one side here and print their seconds")
    asked = parser.parse_args(arguments)
    for name in asked.methods.split(","):
        if asked.side:
            print(json.dumps(seconds(asked.side, name, asked.lengths)))
            continue
        taken: dict[str, list[float]] = {side: [] for side in SIDES}
        for turn in range(asked.turns):
            for side in SIDES if turn % 2 else reversed(SIDES):
                taken[side].append(statistics.median(_of_process(side, name, asked.lengths)))
        plain, ours = (statistics.median(taken[side]) for side in SIDES)
        ratios = [slow / fast for slow, fast in zip(taken["plain"], taken["ours"], strict=True)]
        between = f"{plain / ours:.2f} times faster ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name}, lengths {asked.lengths}: {between}, {ours:.3g} s instead of {plain:.3g} s", flush=True)


def _of_process(side: str, name: str, lengths: str) -> list[float]:
    words = ("--side", side, "--methods", name, "--lengths", lengths)
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.official_step", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(each) for each in json.loads(done.stdout)]


def seconds(side: str, name: str, lengths: str) -> list[float]:
    """Return the seconds of each step of this process but the first."""
    import torch

    from harness.io.heap import keep_freed
    from tests.benchmarks.workload import FULL, batch, both, schedules, step

    if side == "ours":
        keep_freed()
    method = both(name, FULL)[SIDES.index(side)].train()
    sampling = method.sampling()
    videos = sampling.batch if sampling.mode == "pairs" else sampling.batch // 2
    drawn, optimizers = batch(method, videos, full=lengths == "full"), schedules(method)
    torch.manual_seed(0)
    found = []
    for _ in range(_STEPS):
        start = time.perf_counter()
        step(method, optimizers, drawn)
        found.append(time.perf_counter() - start)
    return found[1:]


if __name__ == "__main__":
    main()
