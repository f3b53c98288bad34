from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.claims import Claims


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a")
        assert not two.take("a")
        assert two.take("b")
        one.release("a")
        assert two.take("a")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "all given back"


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from harness.claims import Claims; c = Claims(Path(sys.argv[1])); "
    subprocess.run([sys.executable, "-c", code + "c.take('a')", str(tmp_path)], check=True)
    assert (tmp_path / "a").exists()
    with Claims(tmp_path) as claims:
        assert claims.take("a")


def test_another_machine_counts_by_its_heartbeat(tmp_path: Path) -> None:
    owner = {"host": "elsewhere", "pid": os.getpid(), "born": "1"}
    (tmp_path / "a").write_text(json.dumps(owner))
    with Claims(tmp_path, dead_after=30) as claims:
        assert not claims.take("a")
        old = time.time() - 31
        os.utime(tmp_path / "a", (old, old))
        assert claims.take("a")


def test_the_heart_beats(tmp_path: Path) -> None:
    with Claims(tmp_path, dead_after=0.3) as claims:
        claims.take("a")
        old = time.time() - 100
        os.utime(tmp_path / "a", (old, old))
        deadline = time.time() + 10
        while (tmp_path / "a").stat().st_mtime < old + 50 and time.time() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "a").stat().st_mtime > old + 50


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1}', "\x00"])
def test_a_damaged_claim_is_nobodys(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").write_text(content)
    with Claims(tmp_path) as claims:
        assert claims.take("a")


def _race(directory: str, barrier: object, won: object) -> None:
    with Claims(Path(directory)) as claims:
        for name in map(str, range(50)):
            barrier.wait()
            if claims.take(name):
                won.put(name)
        barrier.wait()  # nobody gives back before all have asked


def test_a_race_has_one_winner(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_race, args=(str(tmp_path), barrier, won)) for _ in range(4)]
    for racer in racers:
        racer.start()
    names = sorted(won.get(timeout=60) for _ in range(50))
    for racer in racers:
        racer.join(timeout=60)
    assert names == sorted(map(str, range(50)))
    assert won.empty()
