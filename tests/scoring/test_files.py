"""Prediction files of other programs: the same numbers as computed by hand, and one line for each defect."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.errors import UserError
from harness.metrics.protocol import evaluate
from harness.records.alignment import Alignment
from harness.scoring.files import ScoredFile, read_scores

REAL = Path(__file__).parents[3] / "shared" / "real" / "predictions"


def _rows(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    videos = np.repeat(["b", "a", "c"], [5, 7, 4])
    gt = np.where(videos == "c", 0, rng.integers(0, 2, len(videos)))
    return pd.DataFrame({"video_id": videos, "pred": rng.integers(0, 6, len(videos)) / 7, "gt": gt})


def _read(path: Path) -> ScoredFile:
    found = read_scores(path)
    assert isinstance(found, ScoredFile)
    return found


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "tsv", "shuffled.csv"])
def test_own_labels_give_the_plain_metrics(kind: str, tmp_path: Path) -> None:
    rows, path = _rows(), tmp_path / f"scores.{kind}"
    if kind == "parquet":
        rows.to_parquet(path)
    elif kind == "shuffled.csv":
        rows.sample(frac=1, random_state=1).to_csv(path, index=False)
    else:
        rows.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    found = _read(path)
    truth = found.own_truth()
    result = evaluate(found.predictions(truth.alignment, truth.classes), truth)
    assert result.metrics["frame_auc"] == pytest.approx(roc_auc_score(rows["gt"], rows["pred"]), abs=1e-12)
    assert result.metrics["frame_ap"] == pytest.approx(average_precision_score(rows["gt"], rows["pred"]), abs=1e-12)
    assert (result.videos, result.frames) == (3, 16)


def test_scores_keep_their_full_precision(tmp_path: Path) -> None:
    path = tmp_path / "close.csv"
    path.write_text("video_id,pred,gt\na,0.50000000001,1\na,0.5,0\n")
    found = _read(path)
    truth = found.own_truth()
    assert evaluate(found.predictions(truth.alignment, truth.classes), truth).metrics["frame_auc"] == 1.0


@pytest.mark.parametrize(
    "content",
    [
        "video_id;pred;gt\nä;0,25;True\nb;1;False\n",
        "video_id;pred;gt\r\nä;0.25;1\r\nb;1;0\r\n",
        "\ufeffvideo_id; pred; gt\nä;0.25;TRUE\nb;1;false\n",
        "video_id\tpred\tgt\nä\t0.25\t1\nb\t1\t0\n",
        "video_id, pred, gt\nä,0.25, true\nb,1,false\n",
    ],
    ids=["decimal-commas", "semicolons", "byte-order-mark", "tabs", "blanks"],
)
def test_what_spreadsheets_and_programs_write(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content, encoding="utf-8")
    found = _read(path)
    assert (found.videos, found.scores.tolist()) == (("ä", "b"), [0.25, 1.0])
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0]


def test_boolean_labels_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pd.DataFrame({"video": ["a", "a"], "score": [0.1, 0.2], "gt": [True, False]}).to_parquet(path)
    labels = _read(path).labels
    assert labels is not None
    assert labels.tolist() == [1, 0]


def test_segments_are_put_in_order_and_may_count_from_one(tmp_path: Path) -> None:
    path = tmp_path / "segments.csv"
    path.write_text("video,segment,score\nv,2,0.2\nw,1,0.9\nv,1,0.1\n")
    found = _read(path)
    assert found.videos == ("v", "w")
    assert found.scores.tolist() == [0.1, 0.2, 0.9]
    assert found.alignment == Alignment(kind="segments")


def test_text_files_are_segments_of_videos(tmp_path: Path) -> None:
    (tmp_path / "v1.txt").write_text("0.1\n0.2\n")
    (tmp_path / "v0.txt").write_text("0.5\n")
    found = _read(tmp_path)
    assert found.videos == ("v0", "v1")
    assert found.offsets.tolist() == [0, 1, 3]
    assert found.alignment == Alignment(kind="segments")


DEFECTS = {
    "no column": (
        "video_id,score_of_it\na,1\n",
        r"no column pred or score, the score of each row \(if score_of_it is it, rename it\)",
    ),
    "no name": (
        "pred,gt\n1,1\n",
        "no column video_id or video, .*it has pred, gt; expected a first line such as video_id",
    ),
    "no header": ("a,0.5\nb,0.2\n", "no column video_id or video, .*expected a first line such as video_id,pred"),
    "word": ("video_id,pred,gt\na,1,yes\n", r"bad.csv:2: gt is 'yes', expected 0 or 1"),
    "two columns": ("video_id,pred,score\na,1,2\n", "both columns pred and score"),
    "no number": ("video_id,pred\na,1\na,high\n", r"bad.csv:3: pred is 'high', expected a finite number"),
    "no value": ("video_id,pred\na,1\na,\n", r"bad.csv:3: pred is ''"),
    "infinite": ("video_id,pred\na,inf\n", r"bad.csv:2: pred is 'inf'"),
    "label": ("video_id,pred,gt\na,1,0\na,1,2\n", r"bad.csv:3: gt is 2, expected 0 or 1"),
    "no row": ("video_id,pred\n", "holds no row"),
    "empty": ("", "not a readable csv file"),
    "ragged": ("video_id,pred\na,1\na,1,2,3\n", "not a readable csv file .*line 3"),
    "repeated segment": ("video,segment,score\nv,0,1\nv,0,1\n", r"bad.csv:3: segment 0 of v, expected 1"),
    "missing segment": ("video,segment,score\nv,0,1\nv,2,1\n", r"bad.csv:3: segment 2 of v, expected 1"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_end_in_one_line(name: str, tmp_path: Path) -> None:
    content, message = DEFECTS[name]
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)


def test_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"video_id,pred\na,1\n" * 99)[:-20])
    (tmp_path / "not.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "not.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "scores.xlsx").write_bytes(b"")
    for name in ("cut.csv.gz", "not.parquet", "not.npz", "scores.xlsx", "missing.csv"):
        with pytest.raises(UserError, match=name) as caught:
            read_scores(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_labels_are_needed_without_a_data_set(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("video_id,pred\na,1\n")
    with pytest.raises(UserError, match="no column gt; name the data set"):
        _read(path).own_truth()


@pytest.mark.skipif(not REAL.exists(), reason="real predictions lie beside the repository")
@pytest.mark.parametrize(
    ("name", "auc", "ap"),
    [
        ("ucf-crime-pel4vad", 0.9010549387653376, 0.4113813226872799),
        ("shanghaitech-pel4vad", 0.9870925485199036, 0.7796699518486523),
    ],
)
def test_real_predictions_score_as_computed_elsewhere(name: str, auc: float, ap: float) -> None:
    found = _read(REAL / f"{name}.csv.gz")
    truth = found.own_truth()
    metrics = evaluate(found.predictions(truth.alignment, truth.classes), truth).metrics
    assert metrics["frame_auc"] == pytest.approx(auc, abs=1e-12)
    assert metrics["frame_ap"] == pytest.approx(ap, abs=1e-12)
