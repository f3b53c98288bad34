"""The protocol's metrics by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.errors import UserError
from harness.metrics.protocol import evaluate, primary
from harness.metrics.segments import field_map, strict_map
from harness.records.truth import VideoTruth
from tests.metrics.reference import abnormal, expanded, normal, random_set, scene


@pytest.mark.parametrize("seed", range(6))
def test_every_metric_by_its_definition(seed: int) -> None:
    predictions, truth = random_set(seed)
    result = evaluate(predictions, truth)
    of_kind = {kind: [n for n, v in truth.videos.items() if v.abnormal == kind] for kind in (False, True)}
    labels, scores = expanded(predictions, truth)
    rare, shown = expanded(predictions, truth, of_kind[True])
    quiet = expanded(predictions, truth, of_kind[False])[1]
    own = [expanded(predictions, truth, [name]) for name in truth.videos]
    tops = [values.max() for _, values in own]
    expected = {
        "frame_auc": roc_auc_score(labels, scores),
        "frame_ap": average_precision_score(labels, scores),
        "abnormal_auc": roc_auc_score(rare, shown),
        "abnormal_ap": average_precision_score(rare, shown),
        "video_auc": roc_auc_score([name in of_kind[True] for name in truth.videos], tops),
        "macro_auc": np.mean([roc_auc_score(*pair) for pair in own if len(set(pair[0])) == 2]),
        "false_alarm_rate": np.mean(quiet > 0.5),
        "map_avg": field_map(predictions, truth).mean(),
        "map@0.3": field_map(predictions, truth)[2],
        "map_strict_avg": strict_map(predictions, truth).mean(),
        "map_strict@0.5": strict_map(predictions, truth)[4],
    }
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert (result.videos, result.frames) == (len(truth.videos), len(labels))
    for label, name in enumerate(truth.classes):
        showing = [n for n, v in truth.videos.items() if label and label in v.labels]
        if showing:
            expected_auc = roc_auc_score(*expanded(predictions, truth, showing + of_kind[False]))
            assert result.class_auc[name] == pytest.approx(expected_auc, abs=1e-12)
        else:
            assert name not in result.class_auc


def test_undefined_metrics_are_left_out() -> None:
    predictions, truth = scene({"n": (normal(32), [0.2, 0.9])})
    assert evaluate(predictions, truth).metrics == {"false_alarm_rate": 0.5}
    predictions, truth = scene({"a": (abnormal(32, (0, 16, 1)), [0.9, 0.5])})
    defined = ("frame_auc", "frame_ap", "frame_pr_auc_trapezoid", "abnormal_auc", "abnormal_ap", "macro_auc")
    assert evaluate(predictions, truth).metrics == dict.fromkeys(defined, 1.0)


@pytest.mark.parametrize("variant", ["ucf", "xd"])
def test_map_without_any_event_is_undefined_not_zero(variant: str) -> None:
    scores = [[0.2, 0.8], [0.9, 0.1]]
    result = evaluate(*scene({"n": (normal(32), scores), "m": (normal(32), scores)}, map_variant=variant))
    assert set(result.metrics) == {"false_alarm_rate"}
    assert {"map_avg", "map@0.1", "map_strict_avg", "map_strict@0.5", "frame_auc"} <= set(result.undefined)


def test_videos_without_a_label_count_nowhere() -> None:
    known = {"a": (abnormal(32, (0, 16, 1)), [[0.1, 0.9], [0.8, 0.2]]), "n": (normal(32), [[0.7, 0.3], [0.4, 0.6]])}
    whole = evaluate(*scene(known))
    assert evaluate(*scene({**known, "u": (VideoTruth(32, ()), [[0.0, 1.0], [1.0, 0.0]])})) == whole
    assert not whole.undefined
    predictions, truth = scene({"u": (VideoTruth(32, ()), [[0.0, 1.0], [1.0, 0.0]])})
    result = evaluate(predictions, truth)
    assert (result.metrics, result.class_auc, result.videos, result.frames) == ({}, {}, 0, 0)
    assert truth.undefined == "frame AUC, AP and mAP are undefined: no test video is labelled"


def test_a_test_set_says_what_it_leaves_undefined() -> None:
    def why(videos: dict[str, VideoTruth]) -> str:
        return scene({name: (video, [0.5]) for name, video in videos.items()})[1].undefined

    assert why({"n": normal(16), "a": abnormal(16, (0, 4, 1))}) == ""
    assert why({"a": abnormal(16, (0, 4, 1))}) == ""
    assert why({"n": normal(16)}).endswith("no test video is abnormal (1 normal)")
    assert why({"a": abnormal(16, (0, 16, 1))}) == (
        "frame AUC and AP are undefined: every one of the frames lies in an event"
    )
    assert why({"n": normal(16), "a": VideoTruth(16, (1,))}).endswith("none of the frames lies in an event")


def test_half_is_no_alarm() -> None:
    predictions, truth = scene({"n": (normal(32), [0.5, 0.5])})
    assert evaluate(predictions, truth).metrics["false_alarm_rate"] == 0


def test_video_without_snippets_is_not_counted() -> None:
    videos = {"a": (abnormal(32, (0, 16, 1)), [0.9, 0.1]), "n": (normal(20), [0.2, 0.1]), "e": (normal(9), [])}
    result = evaluate(*scene(videos))
    assert (result.videos, result.frames) == (2, 52)
    assert result.metrics["video_auc"] == 1.0


@pytest.mark.parametrize("name", ["frame_auc", "frame_ap", "macro_auc", "map_avg", "map_strict@0.1"])
def test_primary_is_the_same_number(name: str) -> None:
    predictions, truth = random_set(1, primary=name)
    assert primary(predictions, truth) == evaluate(predictions, truth).metrics[name]


def test_primary_must_be_defined() -> None:
    predictions, truth = scene({"n": (normal(32), [0.2, 0.9])})
    for name in ("frame_auc", "no_such_metric"):
        with pytest.raises(UserError, match=name):
            primary(predictions, replace(truth, primary=name))
