"""The synthetic clips, made, learned and searched once for all tests of detection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.api.demo_video import demo_video
from harness.detect.detect import Found
from harness.records.result import RunResult
from tests.video.conftest import quiet


@dataclass(frozen=True)
class Demo:
    """Where the demo lies, its run, and what it found in clips that it never saw."""

    out: Path
    result: RunResult
    found: Found


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Demo]:
    home, out = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("demo-video")
    before = os.environ.get("HARNESS_HOME")
    os.environ["HARNESS_HOME"] = str(home)
    try:
        result, found = demo_video(out, "linear-probe", lambda line: None, quiet)
    finally:
        if before is None:
            del os.environ["HARNESS_HOME"]
        else:
            os.environ["HARNESS_HOME"] = before
    return home, Demo(out, result, found)


@pytest.fixture
def demo(made: tuple[Path, Demo], monkeypatch: pytest.MonkeyPatch) -> Demo:
    monkeypatch.setenv("HARNESS_HOME", str(made[0]))
    return made[1]
