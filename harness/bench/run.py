"""All methods of a benchmark, one after another, each in a process of its own; the outcome on disk and in MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.data.cards import find_card
from harness.errors import BrokenMethod, HarnessError, Unsupported, UserError
from harness.io.atomic import check_room, write_json
from harness.io.heap import keep_freed
from harness.io.spawning import killed_with_parent
from harness.records.spec import Precision
from harness.tracking.tracker import Tracker, TrackingError


@dataclass(frozen=True)
class BenchRequest:
    """What `harness bench` was asked for. `methods` maps names to whether each was named itself."""

    methods: Mapping[str, bool]
    dataset: str
    features: str | None
    preset: str
    overrides: Mapping[str, Mapping[str, Any]]
    text_tower: str | None
    device: str
    precision: Precision
    budget: float
    training: bool
    out: Path


def bench_all(request: BenchRequest, tracker: Tracker, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the methods and keep the document as OUT/bench/TIME.json and in the store; return it.

    A method of a group that does not fit the features is left out with a line.

    Raises:
        UserError: a named method cannot run on the features, or a setting is wrong.
        HarnessError: a measurement failed.
    """
    card = find_card(request.dataset)
    features, spec = card.feature_set(request.features)
    check_room(request.out)
    rows: list[dict[str, Any]] = []
    about: dict[str, str] = {}
    for name, by_itself in request.methods.items():
        say(f"measuring {name}")
        answer = _alone(name, request)
        if "wrong" in answer:
            raise UserError(answer["wrong"])
        if "unsupported" in answer:
            if by_itself:
                raise UserError(answer["unsupported"])
            say(f"left out: {answer['unsupported']}")
            continue
        rows.append(answer["row"])
        about = answer["machine"]
    if not rows:
        raise UserError(f"no method runs on {card.name}/{features} ({spec.dim}-d)")
    rows.sort(key=lambda row: -row["frames_per_second"])
    moment = time.strftime("%Y%m%d-%H%M%S")
    document = {"rows": rows, "machine": about, "dataset": card.name, "features": features, "time": moment}
    path = request.out / "bench" / f"{moment}.json"
    write_json(path, document)
    say(f"wrote {path}")
    try:
        tracker.record_bench(document, path)
        say(f"`harness report --out {request.out}` puts it on {request.out / 'report' / 'throughput.html'}")
    except TrackingError as error:
        say(str(error))
    return document


def _alone(name: str, request: BenchRequest) -> dict[str, Any]:
    """Measure one method in a fresh process: what another one left in memory or caches does not count."""
    line = [sys.executable, "-m", "harness.bench.run"]
    asked = json.dumps({**asdict(request), "out": "", "methods": {name: True}, "parent": os.getpid()})
    done = subprocess.run(line, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise HarnessError(f"measuring {name} failed: {last[0]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    from harness.bench.measure import BenchPlan, bench_method, machine

    card = find_card(asked["dataset"])
    _, spec = card.feature_set(asked["features"])
    (name,) = asked["methods"]
    plan = BenchPlan(
        card=card,
        dim=spec.dim,
        audio_dim=spec.audio_dim,
        **{
            key: asked[key]
            for key in ("preset", "overrides", "text_tower", "device", "precision", "budget", "training")
        },
    )
    try:
        return {"row": bench_method(name, plan).as_json(), "machine": machine()}
    except (Unsupported, BrokenMethod) as error:
        return {"unsupported": str(error)}
    except UserError as error:
        return {"wrong": str(error)}


if __name__ == "__main__":
    order = json.loads(sys.stdin.read())
    killed_with_parent(order.pop("parent"))
    keep_freed()  # as the workers of runs do
    print(json.dumps(_answer(order)))
