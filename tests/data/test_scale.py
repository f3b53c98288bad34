"""The full lists with features of our own making: bounded memory and a progress bar. Off unless asked for.

HARNESS_SCALE=1 pytest tests/data/test_scale.py -s     # 56,000 files, some minutes, 10 GB of disk
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.data.cards import find_card
from tests.data.at_size import generate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("HARNESS_SCALE" not in os.environ, reason="set HARNESS_SCALE=1: minutes, and 10 GB of disk"),
]
# Snippets of a training video: a tenth of the data sets' mean, spread as widely as theirs.
MEAN = {"ucf-crime": 48, "xd-violence": 26}
PEAK = 2 << 30
CODE = """
import json, resource, sys
from harness.cli.app import main
sys.argv = ["harness", *json.loads(sys.argv[1])]
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, file=sys.stderr)
"""


@pytest.mark.parametrize(("name", "rows"), [("ucf-crime", 16_100), ("xd-violence", 39_540)])
def test_the_full_list_imports_in_bounded_memory(name: str, rows: int, shared: Path, tmp_path: Path) -> None:
    card = find_card(name)
    root = tmp_path / "features"
    root.mkdir()
    try:
        size = generate(card, shared / "real/lists", root, MEAN[name])
        arguments = json.dumps(["data", "import", name, "--root", str(root), "--json"])
        environment = os.environ | {"HARNESS_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", CODE, arguments], capture_output=True, text=True, check=True, env=environment
        )
        seconds = time.perf_counter() - start
        *log, peak = done.stderr.splitlines()
        found = json.loads(done.stdout)
        print(f"\n{name}: {rows} rows, {size / 1e9:.2f} GB, {seconds:.0f} s, peak {int(peak) / 2**20:.0f} MiB")
        assert found["splits"]["train"]["items"] == rows
        assert sum(line.startswith(f"import {name}: ") for line in log) == 10
        assert int(peak) < PEAK
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)
