"""The whole way from clips to events, and what a checkpoint refuses."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.detect.events import threshold_of
from harness.metrics.alarms import alarms
from harness.records.run_directory import open_run
from harness.video.synthetic import FPS, SEED, clips
from tests.detect.conftest import Demo

Call = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_events_are_found_in_clips_it_never_saw(demo: Demo) -> None:
    truth = {clip.name: clip.event for clip in clips(4, SEED + 1, "unseen")}
    assert demo.result.metrics["frame_auc"] > 0.95
    for each in demo.found.detections:
        event = truth[each.video]
        if event is None:
            assert each.events == []
            continue
        (found,) = each.events
        overlap = min(found.end, event[1]) - max(found.start, event[0])
        assert overlap / (max(found.end, event[1]) - min(found.start, event[0])) > 0.6


def test_a_threshold_is_given_calibrated_or_the_usual_one(demo: Demo) -> None:
    run = open_run(demo.out / "runs" / demo.result.id)
    assert threshold_of(0.3, None, run, 25.0).value == 0.3
    assert threshold_of(None, None, None, 25.0).value == 0.5
    assert threshold_of(None, None, run, 0.0).value == 0.5
    for rate in (0.0, 10.0, 500.0):
        chosen = threshold_of(None, rate, run, 25.0)
        measured = alarms(run.predictions(), run.truth(), chosen.value, 25.0).per_hour
        assert measured is not None
        assert measured <= rate
    assert threshold_of(None, None, run, 25.0) == threshold_of(None, 10.0, run, 25.0)


def test_predict_gives_the_scores_of_detect(demo: Demo, harness: Call, tmp_path: Path) -> None:
    run, features = demo.out / "runs" / demo.result.id, demo.out / "detections" / "features"
    code, out, _ = harness("predict", str(run), "--features", str(features), "--to", str(tmp_path), "--json")
    assert code == 0
    scores = {video["video"]: [each["score"] for each in video["snippets"]] for video in json.loads(out)["videos"]}
    for each in demo.found.detections:
        assert scores[each.video] == each.scores.astype(float).tolist()
    # The same features as files of the community are not known to be of that kind.
    files = tmp_path / "files"
    files.mkdir()
    for path in (features / "features").glob("*.npy"):
        shutil.copy(path, files / f"{path.stem}__0.npy")
    code, _, err = harness("predict", str(run), "--features", str(files), "--to", str(tmp_path))
    assert code == 2
    assert "was trained on vadclip-centre-crop" in err
    assert "--any-features scores them anyway" in err
    code, _, _ = harness("predict", str(run), "--features", str(files), "--to", str(tmp_path), "--any-features")
    assert code == 0
    with (tmp_path / "scores.csv").open() as table:
        rows = [float(row["score"]) for row in csv.DictReader(table) if row["video"] == "unseen-01"]
    assert np.allclose(rows, scores["unseen-01"])


def test_a_growing_file_gives_the_scores_of_the_whole(demo: Demo, harness: Call, tmp_path: Path) -> None:
    from harness.detect.scorer import load_scorer
    from harness.detect.stream import Clocked, needs_of, stream
    from harness.video.extract import Setup
    from harness.video.growing import GrowingFile
    from harness.video.protocols import find_protocol
    from harness.video.towers.embedded import embedded_tower
    from tests.video.films import film

    whole = film(tmp_path / "whole.ts", frames=72)
    content, path = whole.read_bytes(), tmp_path / "growing.ts"
    path.write_bytes(content[: len(content) // 2])
    growing = GrowingFile(path, idle=0.6)
    clocked = Clocked(growing)
    scorer = load_scorer(str(demo.out / "runs" / demo.result.id), Path(), lambda line: None)
    setup, protocol = Setup(embedded_tower()), find_protocol("vadclip-centre-crop")
    needs = needs_of(scorer)
    assert needs == "snippet"
    scored = []
    for each in stream(clocked, scorer, protocol, setup, needs):
        scored.append(each)
        # It grows behind the reader's back, also in the middle of a packet.
        path.write_bytes(content[: len(content) * 3 // 4 + 7] if len(scored) == 1 else content)
    growing.close()
    code, out, _ = harness(
        *("detect", str(whole), "--checkpoint", str(demo.out / "runs" / demo.result.id)),
        *("--to", str(tmp_path / "out"), "--json"),
    )
    assert code == 0
    scores = [each["score"] for each in json.loads(out)["videos"][0]["snippets"]]
    assert clocked.count == 72
    assert np.allclose([each.score for each in scored], scores, rtol=1e-6)


def test_stream_on_the_command_line(demo: Demo, harness: Call, tmp_path: Path) -> None:
    run, clip = str(demo.out / "runs" / demo.result.id), str(demo.out / "unseen" / "unseen-01.mp4")
    code, out, err = harness(
        *("detect", clip, "--stream", "--idle", "0.1", "--checkpoint", run, "--to", str(tmp_path)),
    )
    assert code == 0
    assert "scores each snippet by itself" in err
    assert "EVENT" in out
    with (tmp_path / "stream.csv").open() as table:
        rows = list(csv.DictReader(table))
    (found,) = (each for each in demo.found.detections if each.video == "unseen-01")
    assert np.allclose([float(row["score"]) for row in rows], found.scores, rtol=1e-4)
    code, _, err = harness("detect", clip, clip, "--stream", "--checkpoint", run, "--to", str(tmp_path))
    assert code == 2
    assert "one source at a time" in err


def test_a_method_that_looks_ahead_is_known() -> None:
    from types import SimpleNamespace

    from harness.detect.stream import needs_of

    def scorer(rule: Callable[[np.ndarray], np.ndarray]) -> object:
        def score(name: str, rows: np.ndarray) -> object:
            return SimpleNamespace(scores=rule(rows[:, 0, 0].astype(np.float64)))

        return SimpleNamespace(score=score, header=SimpleNamespace(dim=3))

    def past(x: np.ndarray) -> np.ndarray:
        return np.cumsum(x)

    def whole(x: np.ndarray) -> np.ndarray:
        return x - x.mean()

    assert [needs_of(scorer(rule)) for rule in (np.tanh, past, whole)] == ["snippet", "past", "whole"]  # type: ignore[arg-type]


def test_other_features_are_refused(demo: Demo, harness: Call, tmp_path: Path) -> None:
    run, clip = str(demo.out / "runs" / demo.result.id), str(demo.out / "unseen" / "unseen-01.mp4")
    code, _, err = harness("detect", clip, "--checkpoint", run, "--protocol", "first-frame", "--to", str(tmp_path))
    assert code == 2
    assert "was trained on vadclip-centre-crop" in err
    assert "first of 16 frames" in err
    np.save(tmp_path / "wide.npy", np.ones((3, 768), np.float32))
    code, _, err = harness("predict", run, "--features", str(tmp_path / "wide.npy"), "--any-features")
    assert code == 2
    assert "features are 768-d (looks like CLIP ViT-L/14)" in err
    assert "needs 512-d" in err
    code, _, err = harness("detect", "rtsp://nowhere.invalid/cam", "--checkpoint", run, "--to", str(tmp_path))
    assert code == 2
    assert "--stream" in err


def test_evaluation_refuses_features_of_another_kind(demo: Demo, harness: Call, tmp_path: Path) -> None:
    quick = tmp_path / "quick.yaml"
    quick.write_text("name: quick\nframes: {take: first}\npicture: {resize: exact, width: 224, height: 224}\n")
    card, videos = str(demo.out / "clips" / "demo-video.yaml"), str(demo.out / "clips")
    code, _, err = harness("data", "import", card, "--videos", videos, "--protocol", str(quick))
    assert code == 0, err
    other = next(line for line in _sets(harness) if line.startswith("quick-"))
    checkpoint = str(demo.out / "runs" / demo.result.id)
    code, _, err = harness("eval", checkpoint, "--dataset", "demo-video", "--features", other)
    assert code == 2
    assert f"demo-video/{other} holds quick" in err
    code, out, _ = harness("eval", checkpoint, "--dataset", "demo-video", "--features", demo.result.features, "--json")
    assert code == 0
    assert json.loads(out)["metrics"]["frame_auc"] == demo.result.metrics["frame_auc"]


def _sets(harness: Call) -> list[str]:
    _, out, _ = harness("data", "list", "--json")
    return [row["features"] for row in json.loads(out)["datasets"] if row["name"] == "demo-video"]


def test_a_board_says_how_features_were_made(demo: Demo) -> None:
    text = (demo.out / "runs" / "report" / "leaderboard.md").read_text()
    assert "features by vadclip-centre-crop (mean of 16 frames" in text
    assert "random weights" in text


def test_what_an_earlier_call_wrote_does_not_stay(demo: Demo, harness: Call, tmp_path: Path) -> None:
    run, unseen = str(demo.out / "runs" / demo.result.id), demo.out / "unseen"
    words = ("--checkpoint", run, "--to", str(tmp_path))
    assert harness("detect", str(unseen), *words, "--formats", "parquet")[0] == 0
    assert (tmp_path / "video-0004.html").exists()
    assert harness("detect", str(unseen / "unseen-00.mp4"), *words, "--annotate")[0] == 0
    pages = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert pages == [
        *("detections.json", "events.csv", "index.html", "scores.csv"),
        *("video-0001-scores.mp4", "video-0001.html", "video-0001.mp4"),
    ]
    document = json.loads((tmp_path / "detections.json").read_text())
    assert document["checkpoint"] == demo.result.id
    assert document["features"].startswith("vadclip-centre-crop (mean of 16 frames")
    assert "0 in the 0.0081 hours of normal test video of demo-video" in document["threshold_from"]


def test_what_others_wrote_stays(demo: Demo, harness: Call, tmp_path: Path) -> None:
    """A directory that no earlier call wrote keeps its files, and a video that is read is never written over."""
    run, clip = str(demo.out / "runs" / demo.result.id), demo.out / "unseen" / "unseen-00.mp4"
    own = {name: tmp_path / name for name in ("scores.parquet", "events.parquet", "video-0009.html", "video-12.mp4")}
    for path in own.values():
        path.write_text("mine")
    assert harness("detect", str(clip), "--checkpoint", run, "--to", str(tmp_path))[0] == 0
    assert {path.read_text() for path in own.values()} == {"mine"}
    shutil.copy(clip, tmp_path / "video-0001.mp4")
    words = ("--checkpoint", run, "--to", str(tmp_path))
    code, _, err = harness("detect", str(tmp_path / "video-0001.mp4"), *words)
    assert code == 2
    assert "holds video-0001.mp4, which is to be read; choose another directory" in err
    assert (tmp_path / "video-0001.mp4").read_bytes() == clip.read_bytes()


def test_sources_that_cannot_be_streamed(demo: Demo, harness: Call, tmp_path: Path) -> None:
    words = ("--stream", "--checkpoint", str(demo.out / "runs" / demo.result.id), "--to", str(tmp_path))
    half = tmp_path / "half.mp4"
    half.write_bytes((demo.out / "unseen" / "unseen-00.mp4").read_bytes()[:20_000])
    said = {str(half): ".mkv and .ts while they grow", "nowhere.ts": "no such video", "97": "camera 97: there is none"}
    said["http://127.0.0.1:9/x"] = "cannot be reached, or sends no video"
    for source, words_of_it in said.items():
        code, _, err = harness("detect", source, *words)
        assert (code, words_of_it in err) == (2, True), err


def test_a_tower_that_only_its_user_knows_is_asked_for() -> None:
    from harness.errors import UserError
    from harness.records.extraction import Recipe
    from harness.video.protocols import find_protocol
    from harness.video.towers.loading import tower_for

    def recipe(tower: str) -> Recipe:
        return Recipe(protocol=find_protocol("vadclip"), tower=tower, dim=512, precision="fp32", batch=8)

    assert tower_for(None) is None
    assert tower_for(recipe("seeded-vit-2x128 (random weights, not CLIP)")) is None
    assert tower_for(recipe("openai/clip-vit-base-patch16@57c2164")) == "openai/clip-vit-base-patch16"
    with pytest.raises(UserError, match=r"ViT-B-16.pt#0123; give it with --image-tower"):
        tower_for(recipe("ViT-B-16.pt#0123"))


def test_an_unknown_method_is_refused_before_anything_is_drawn(harness: Call, tmp_path: Path) -> None:
    code, _, err = harness("demo-video", "--to", str(tmp_path / "d"), "--method", "nosuch")
    assert code == 2
    assert "unknown method 'nosuch'" in err
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_formats(demo: Demo, harness: Call, tmp_path: Path, form: str) -> None:
    import pandas as pd

    run, features = demo.out / "runs" / demo.result.id, demo.out / "detections" / "features"
    code, _, _ = harness("predict", str(run), "--features", str(features), "--to", str(tmp_path), "--formats", form)
    assert code == 0
    if form == "json":
        document = json.loads((tmp_path / "detections.json").read_text())
        starts = [event["start"] for video in document["videos"] for event in video["events"]]
    else:
        read = pd.read_csv if form == "csv" else pd.read_parquet
        starts = list(read(tmp_path / f"events.{form}")["start"])
        assert len(read(tmp_path / f"scores.{form}")) == sum(len(each.scores) for each in demo.found.detections)
    assert starts == [event.start / FPS for each in demo.found.detections for event in each.events]
