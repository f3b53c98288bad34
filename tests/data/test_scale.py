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

import numpy as np
import pytest

from harness.data.annotations import read_annotations
from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.data.lists import read_list
from harness.data.sources import labels_of
from tests.data.community import listed_videos

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


def _generate(card: DatasetCard, lists: Path, root: Path) -> int:
    """Write every file of both lists, as the card's paths have them; returns the bytes of the features."""
    assert card.annotations is not None
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((4096, 512)).astype(np.float32)
    spec = card.features["clip-vit-b16"]
    shutil.copy(lists / card.annotations.path, root)
    labels = {}
    for split in ("train", "test"):
        shutil.copy(lists / card.splits[split].list, root)
        for listed in read_list(lists / card.splits[split].list):
            video = listed.name.rpartition("__")[0]
            labels[video] = labels_of(card, listed, video)
    events = {
        video: max((event.end for event in annotation.events), default=0)
        for video, annotation in read_annotations(card, root / card.annotations.path, labels).items()
    }
    tested = set(listed_videos(lists / card.splits["test"].list))
    lengths = {
        # A test video is as long as its last event needs: annotations are not scaled.
        video: events.get(video, 0) // 16 + 20 if video in tested else 1 + int(rng.exponential(MEAN[card.name]))
        for video in labels
    }
    total = 0
    for split in ("train", "test"):
        for listed in read_list(lists / card.splits[split].list):
            file = root / "/".join(listed.path.split("/")[-2:])
            file.parent.mkdir(exist_ok=True)
            length = lengths[listed.name.rpartition("__")[0]]
            start = int(rng.integers(0, 2048))
            np.save(file, np.resize(noise[start:], (length, spec.dim)))
            total += length * spec.dim * 4
    return total


@pytest.mark.parametrize(("name", "rows"), [("ucf-crime", 16_100), ("xd-violence", 39_540)])
def test_the_full_list_imports_in_bounded_memory(name: str, rows: int, shared: Path, tmp_path: Path) -> None:
    card = find_card(name)
    root = tmp_path / "features"
    root.mkdir()
    try:
        size = _generate(card, shared / "real/lists", root)
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
