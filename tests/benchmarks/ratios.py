"""How many times faster ours is than the plain computation, compared with a stored baseline.

Times differ between machines; the ratio of two computations that take turns on one hardly does. `tox -e ratios` fails
where a ratio has become worse than its noise explains: a tenth, or twice the spread of either measurement. What looks
worse is measured again before it counts. A baseline is made of two measurements of everything, each from new models.

Every benchmark of `test_training_step.py` and `test_evaluation.py` is run on one thread, with few videos of full width
and length, and timed by the processor time of its own process, which others on the machine hardly touch. The process
keeps what it frees: how dear a page of memory is differs between systems, by a seventh of some of these ratios.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.bench.regressions import Change, changes, read
from harness.errors import UserError
from harness.io.atomic import write_json
from harness.io.heap import keep_freed
from harness.metrics.protocol import evaluate
from harness.plugin import Method
from harness.training.predict import predict
from tests.benchmarks.conftest import TestSet, generated, scored
from tests.benchmarks.test_evaluation import part, plain_metrics, read_plainly
from tests.benchmarks.test_training_step import CASES
from tests.benchmarks.workload import Size, batch, both, names, schedules, split, step

BASELINE = Path(__file__).with_name("ratios.json")
SIZE = Size(layers=3, videos=2, every=29, rounds=5)
# Rounds go on until both sides have taken so many seconds.
SECONDS, MOST = 4.0, 41

# What a benchmark's two sides compute: a name and seconds each, of what is timed by itself.
Side = Callable[[], Mapping[str, float]]
Row = dict[str, Any]


def benchmarks(only: str = "") -> Iterator[Callable[[], list[Row]]]:
    """Yield what measures each benchmark whose name holds `only`; one may give several rows."""
    for name, lengths in CASES:
        if only in f"{name}, training step, lengths {lengths}":
            yield partial(training_step, name, lengths)
    test_set = scored(generated())
    for name in names():
        if any(only in f"{name}, {what}" for what in ("test pass", "evaluation")):
            yield partial(evaluation, name, test_set)


def training_step(name: str, lengths: str) -> list[Row]:
    """Loss, backward pass and optimizers of 2 normal and 2 abnormal videos."""
    plain, ours = (method.train() for method in both(name, SIZE))
    drawn = batch(ours, SIZE.videos, full=lengths == "full")
    what = f"training step, lengths {lengths}"

    def side(method: Method) -> Side:
        taken = partial(step, method, schedules(method), drawn)
        return lambda: {what: seconds(taken)}

    with torch.random.fork_rng():
        return compared(name, side(plain), side(ours))


def evaluation(name: str, test_set: TestSet) -> list[Row]:
    """The test pass alone and with all metrics, of 10 of UCF-Crime's test videos."""
    plain, ours = (method.eval() for method in both(name, SIZE))
    truth = part(test_set[1], SIZE.every)
    test = split({video: -(-each.frames // 16) for video, each in truth.videos.items()})

    def plainly() -> Mapping[str, float]:
        start = time.process_time()
        found = read_plainly(plain, test)
        passed = time.process_time() - start
        return {"test pass": passed, "evaluation": passed + seconds(lambda: plain_metrics(found, truth))}

    def fast() -> Mapping[str, float]:
        new = copy.deepcopy(ours)  # it has read nothing yet
        start = time.process_time()
        found, _ = predict(new, test, truth.alignment)
        passed = time.process_time() - start
        return {"test pass": passed, "evaluation": passed + seconds(lambda: evaluate(found, truth))}

    return compared(name, plainly, fast)


def seconds(compute: Callable[[], object]) -> float:
    """Processor seconds of a computation."""
    start = time.process_time()
    compute()
    return time.process_time() - start


def compared(name: str, plain: Side, ours: Side) -> list[Row]:
    """Return a row for each thing timed: median and spread of the ratio, of sides that take turns in being first."""
    plain(), ours()
    rounds: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    spent = 0.0
    while len(rounds) < SIZE.rounds or (spent < SECONDS and len(rounds) < MOST):
        if len(rounds) % 2:
            fast = ours()
            slow = plain()
        else:
            slow = plain()
            fast = ours()
        rounds.append((slow, fast))
        spent += max(slow.values()) + max(fast.values())
    rows = []
    for what in rounds[0][0]:
        ratios = [slow[what] / fast[what] for slow, fast in rounds]
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        row = {"method": f"{name}, {what}", "times_faster": float(middle), "spread": float((high - low) / 2 / middle)}
        times = (statistics.median(side[what] for side in sides) for sides in zip(*rounds, strict=True))
        rows.append({**row, **dict(zip(("plain_seconds", "seconds"), times, strict=True)), "rounds": len(rounds)})
    return rows


def both_of(one: Row, two: Row) -> Row:
    """Return the mean of two measurements; its spread is theirs, or how far they are from it if that is more."""
    middle = (one["times_faster"] + two["times_faster"]) / 2
    apart = abs(one["times_faster"] - two["times_faster"]) / 2 / middle
    rounds = one["rounds"] + two["rounds"]
    spread = max(one["spread"], two["spread"], apart)
    return {**one, "times_faster": middle, "spread": spread, "rounds": rounds}


def worse(before: Mapping[str, Any], rows: Sequence[Row]) -> list[Change]:
    """Return the ratios that are worse than noise explains."""
    found = changes(before, {"rows": list(rows)}, {"times_faster": True}, same=(), machine=())
    return [change for change in found if change.slower]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and record, or measure and compare; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ratios", description=__doc__)
    parser.add_argument("--record", type=Path, help="write a baseline instead of comparing with one")
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--only", default="", help="benchmarks whose name holds this")
    asked = parser.parse_args(arguments)
    before = None if asked.record else read(asked.baseline)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _run(before, asked.record, asked.only)
    finally:
        torch.set_num_threads(threads)


def _run(before: dict[str, Any] | None, target: Path | None, only: str) -> int:
    rows: list[Row] = []
    slower: list[Change] = []
    for measure in benchmarks(only):
        new = measure() if before else [both_of(*pair) for pair in zip(measure(), measure(), strict=True)]
        found = _worse_again(before, new, measure) if before else []
        slower += found
        rows += new
        for row in new:
            mark = "SLOWER " if any(change.method == row["method"] for change in found) else ""
            print(f"{mark}{row['method']}: x{row['times_faster']:.2f} ± {100 * row['spread']:.0f}%", flush=True)
    if not rows:
        raise UserError(f"no benchmark is named like {only!r}")
    if target is not None:
        write_json(target, {"machine": _machine(), "rows": sorted(rows, key=lambda row: row["method"])})
        print(f"wrote {target}")
    for change in slower:
        print(
            f"SLOWER {change.method}: x{change.after:.2f} of the plain computation's speed, it was x{change.before:.2f}"
        )
    print(f"{len(rows)} ratios, {len(slower)} slower")
    return 1 if slower else 0


def _worse_again(before: dict[str, Any], rows: list[Row], measure: Callable[[], list[Row]]) -> list[Change]:
    """What is worse in a first and in a second measurement."""
    known = {row["method"] for row in before["rows"]}
    once = [row for row in rows if row["method"] in known]
    first = {change.method for change in worse(before, once)} if once else set()
    if not first:
        return []
    return worse(before, [row for row in measure() if row["method"] in first])


def _machine() -> dict[str, str]:
    from harness.bench.measure import machine

    return {name: fact for name, fact in machine().items() if name in ("processor", "cores", "platform", "torch")}


if __name__ == "__main__":
    keep_freed()
    raise SystemExit(main())
