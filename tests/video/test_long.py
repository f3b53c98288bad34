"""Memory does not grow with the length of a video. HARNESS_SCALE=1 takes a file of 100,000 frames."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.video.films import film

ROOT = Path(__file__).resolve().parents[2]
SCALE = bool(os.environ.get("HARNESS_SCALE"))
SHORT, LONG = (1_000, 100_000) if SCALE else (500, 5_000)
# Bytes by which a process may be larger with the long one: what a thread more or an index of frames takes.
SPARE = 40e6


def peak(video: str, out: str) -> int:
    """Extract a video; return the peak of this process's memory in bytes."""
    import resource

    import torch

    from harness.video.extract import Setup, extract
    from harness.video.protocols import find_protocol
    from harness.video.sources import find_videos
    from tests.video.conftest import quiet
    from tests.video.doubles import colours

    torch.set_num_threads(2)
    protocol = find_protocol("vadclip")
    small = {"resize": "exact", "width": 40, "height": 36}
    content = protocol.model_dump() | {"picture": small, "crops": {"size": 32, "order": protocol.crops.order}}
    setup = Setup(colours(32))
    extract(find_videos([video]), type(protocol).model_validate(content), setup, Path(out), print, quiet)
    status = Path("/proc/self/status")
    if status.exists():  # Linux has a process begin with the peak of its parent in `getrusage`
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.slow
def test_memory_is_that_of_a_short_video(tmp_path: Path) -> None:
    def measured(frames: int) -> int:
        path = film(tmp_path / f"{frames}.mp4", frames, (32, 32), "mpeg4")
        code = f"from tests.video.test_long import peak; print(peak({str(path)!r}, {str(tmp_path / f'o{frames}')!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        counted = (tmp_path / f"o{frames}" / "frame_counts.csv").read_text()
        assert counted == f"video,frames\n{frames},{frames}\n"
        return int(done.stdout.split()[-1])

    short, long = measured(SHORT), measured(LONG)
    print(f"{SHORT:,} frames: {short / 1e6:.0f} MB at most; {LONG:,} frames: {long / 1e6:.0f} MB")  # shown by -s
    assert long < short + SPARE
