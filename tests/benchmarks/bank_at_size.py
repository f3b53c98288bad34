"""UCF-Crime's CLIP features at full length: import against `cp`, and a training whose bank does not fit in memory.

    python -m tests.benchmarks.bank_at_size DIR LISTS     # as root, 45 GB of disk, half an hour

DIR is made and removed again, LISTS holds the community's lists. A control group of the kernel limits the memory of a
training, page cache included, so that what it reads comes from the disk; before every step the page cache is emptied.
The method is the one whose steps are the shortest, at the longest training length that the field uses: others give the
disk more time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.data.cards import find_card
from tests.data.at_size import FEATURES, generate

DATASET = "ucf-crime"
# 700,000 snippets in ten crops each.
MEAN = 435
SETTINGS = {"segments": 256, "batch": 64, "steps_per_epoch": 126, "epochs": 3}
LIMIT = 4 << 30


def main(directory: Path, lists: Path, mean: float = MEAN) -> None:
    """Measure all of it and print a line for each figure."""
    root, copy, home = (directory / name for name in ("features", "copy", "home"))
    root.mkdir(parents=True)
    try:
        size = generate(find_card(DATASET), lists, root, mean)
        files = sum(1 for _ in root.rglob("*.npy"))
        say(f"{files:,} files, {size / 1e9:.2f} GB")
        copied = timed(lambda: run("cp", "-r", str(root), str(copy)))
        shutil.rmtree(copy)
        os.environ["HARNESS_HOME"] = str(home)
        imported = timed(lambda: harness("data", "import", DATASET, "--root", str(root)))
        say(f"cp -r: {copied:.0f} s, {size / copied / 1e6:.0f} MB/s")
        say(f"import: {imported:.0f} s, {size / imported / 1e6:.0f} MB/s, {copied / imported:.2f} of cp's speed")
        shutil.rmtree(root)
        whole = epochs(directory / "whole")
        with limited(LIMIT) as enter:
            less = epochs(directory / "limited", enter)
        for name, one, other in zip(("first", "second", "third"), whole, less, strict=True):
            say(f"{name} epoch: {one:.1f} s, within {LIMIT >> 30} GiB {other:.1f} s, {other / one:.2f} times as long")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def timed(step: Callable[[], Any]) -> float:
    """Seconds of a step that begins with an empty page cache, until all that it wrote is on the disk."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    began = time.perf_counter()
    step()
    os.sync()
    return time.perf_counter() - began


def epochs(out: Path, enter: Callable[[], None] | None = None) -> list[float]:
    """Seconds of each epoch of a training; its process calls `enter` before anything else."""
    settings = [word for name, value in SETTINGS.items() for word in ("--set", f"deepmil.{name}={value}")]
    line = ["run", "--methods", "deepmil", "--dataset", DATASET, "--features", FEATURES, "--json", "--out", str(out)]
    found: list[str] = []
    timed(lambda: found.append(harness(*line, *settings, "--no-report", enter=enter)))
    directory = Path(json.loads(found[0])["runs"][0]["directory"])
    history = json.loads((directory / "history.json").read_text())
    return [epoch["seconds"] for epoch in history["epochs"]]


@contextmanager
def limited(limit: int) -> Iterator[Callable[[], None]]:
    """Yield what a process calls to have no more than `limit` bytes of memory from then on, page cache included."""
    first = Path("/sys/fs/cgroup/memory")
    group = (first if first.is_dir() else first.parent) / f"harness-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if first.is_dir() else "memory.max")).write_text(str(limit))

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        yield enter
    finally:
        group.rmdir()


def harness(*words: str, enter: Callable[[], None] | None = None) -> str:
    """Run a command of the harness and return what it printed."""
    return run(sys.executable, "-m", "harness", *words, enter=enter)


def run(*line: str, enter: Callable[[], None] | None = None) -> str:
    """Run a command and return what it printed."""
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, preexec_fn=enter).stdout


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
