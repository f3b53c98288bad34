"""`harness plot`: one line per run, which is the run's scores, over the events of one test video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.records.result import RunResult
from harness.records.run_directory import open_run
from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plots")


@pytest.fixture(scope="module")
def results(runs: Path) -> list[RunResult]:
    """Two seeds of a method, another method, and a run of another test set."""
    asked = (("alpha", 0, "toy"), ("alpha", 1, "toy"), ("beta", 0, "toy"))
    found = [fake_run(runs, method=method, seed=seed, dataset=dataset) for method, seed, dataset in asked]
    return [*found, fake_run(runs, method="alpha", dataset="other", classes=("Normal", "Fire"))]


def test_lines_are_the_scores_of_the_runs(harness: Call, runs: Path, results: list[RunResult], tmp_path: Path) -> None:
    ids, to = [result.id for result in results[:3]], tmp_path / "f.svg"
    code, out, err = harness("plot", *ids, "--video", "video_05", "--to", str(to), "--out", str(runs))
    assert (code, out) == (0, f"wrote {to}: video_05, 3 runs\n"), err
    root = ElementTree.parse(to).getroot()
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"alpha, seed 0", "alpha, seed 1", "beta", "frame", "score"} <= set(texts)
    (event,) = root.iter(f"{SVG}rect")
    lines = [each for each in root.iter(f"{SVG}polyline") if len(each.get("points", "").split()) > 10]
    assert len(lines) == 3
    lowest = []
    for line, result in zip(lines, results, strict=False):
        scores = open_run(runs / result.id).predictions()["video_05"]
        places = np.array([tuple(map(float, point.split(","))) for point in line.get("points", "").split()])
        assert len(places) == 2 * len(scores)
        share = places[::2, 1]
        assert np.corrcoef(share, scores)[0, 1] < -0.9999, "upwards on the drawing"
        lowest.append((float(share.max()), float(scores.min())))
    # One axis for all lines: a lower score is lower on the drawing.
    assert [each for _, each in sorted(lowest)] == sorted((each for _, each in lowest), reverse=True)
    truth = open_run(runs / results[0].id).truth().videos["video_05"]
    left, right = places[0, 0], places[-1, 0]
    start = left + (right - left) * truth.events[0].start / truth.frames
    assert float(event.get("x", 0)) == pytest.approx(start, abs=0.02)


def test_a_pdf_and_a_video_that_the_rule_chooses(
    harness: Call, runs: Path, results: list[RunResult], tmp_path: Path
) -> None:
    to = tmp_path / "f.pdf"
    code, out, err = harness("plot", results[0].id, "--to", str(to), "--fps", "25", "--out", str(runs))
    assert code == 0, err
    assert to.read_bytes().startswith(b"%PDF")
    opened = open_run(runs / results[0].id)
    predictions, truth = opened.predictions(), opened.truth()
    ranges = {name: float(np.ptp(predictions[name])) for name, video in truth.videos.items() if video.events}
    assert f": {max(ranges, key=lambda name: ranges[name])}, 1 run" in out


@pytest.mark.parametrize(
    ("which", "more", "told"),
    [
        ([0], ("--video", "video_5"), "--video video_5: no test video of toy that all these runs have; did you mean"),
        ([0, 3], (), "have different test sets; draw them apart"),
        ([], ("nothing",), "nothing: no run directory, and no run id below"),
        ([0], ("--to", "f.png"), "expected a name that ends in .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    harness: Call,
    runs: Path,
    results: list[RunResult],
    tmp_path: Path,
    which: list[int],
    more: tuple[str, ...],
    told: str,
) -> None:
    to = () if "--to" in more else ("--to", str(tmp_path / "f.svg"))
    code, out, err = harness("plot", *(results[at].id for at in which), *more, *to, "--out", str(runs))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert told in err
    assert not list(tmp_path.iterdir())
