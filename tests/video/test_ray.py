"""An extraction on Ray ends with the bytes of one without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.video.extract import Setup, extract
from harness.video.protocols import find_protocol
from harness.video.sources import find_videos
from harness.video.towers.tower import ImageTower
from tests.video.conftest import PROTOCOL, quiet
from tests.video.films import film

pytest.importorskip("ray")


@pytest.mark.slow
def test_the_same_bytes_and_a_damaged_video_is_left_out(tower: ImageTower, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(3):
        film(films / f"{number}.mp4", frames=17 + 9 * number, seed=number)
    (films / "9.mp4").write_text("no video")
    out = {}
    for executor in ("local", "ray"):
        setup = Setup(tower, executor=executor)  # type: ignore[arg-type]
        report = extract(
            find_videos([str(films)]), find_protocol(PROTOCOL), setup, tmp_path / executor, lambda line: None, quiet
        )
        assert list(report.left_out) == ["9"]
        assert report.frames == sum(17 + 9 * number for number in range(3))
        out[executor] = {
            path.relative_to(tmp_path / executor): path.read_bytes()
            for path in sorted((tmp_path / executor).rglob("*"))
            if path.is_file()
        }
    assert out["ray"] == out["local"]
