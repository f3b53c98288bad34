"""The synthetic clips, made, learned and searched once for all tests of detection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.api.demo_video import demo_video
from harness.detect.detect import Found, predict_features
from harness.detect.events import threshold_of
from harness.detect.scorer import load_scorer
from harness.io.locks import alone
from harness.records.result import RunResult
from harness.records.run_directory import open_run
from harness.video.feature_input import find_features
from tests.video.conftest import quiet


@dataclass(frozen=True)
class Demo:
    """Where the demo lies, its run, and what it found in clips that it never saw."""

    out: Path
    result: RunResult
    found: Found


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> tuple[Path, Demo]:
    base = tmp_path_factory.getbasetemp()
    place = (base if worker_id == "master" else base.parent) / "demo-video"  # one for all processes of the tests
    home, out = place / "home", place / "out"
    before = os.environ.get("HARNESS_HOME")
    os.environ["HARNESS_HOME"] = str(home)
    try:
        with alone(place.with_name("demo-video.lock")):
            if (out / "detections" / "index.html").exists():
                result, found = _again(out)
            else:
                result, found = demo_video(out, "linear-probe", lambda line: None, quiet)
    finally:
        if before is None:
            del os.environ["HARNESS_HOME"]
        else:
            os.environ["HARNESS_HOME"] = before
    return home, Demo(out, result, found)


def _again(out: Path) -> tuple[RunResult, Found]:
    """What another process of the tests has made."""
    (run,) = (path.parent for path in (out / "runs").glob("*/run.json"))
    scorer = load_scorer(str(run), out, lambda line: None)
    threshold = threshold_of(None, None, scorer.run, scorer.card.fps)
    features = find_features(out / "detections" / "features")
    return open_run(run).result, Found(list(predict_features(features, scorer, threshold)), threshold, [], {}, {})


@pytest.fixture
def demo(made: tuple[Path, Demo], monkeypatch: pytest.MonkeyPatch) -> Demo:
    monkeypatch.setenv("HARNESS_HOME", str(made[0]))
    return made[1]
