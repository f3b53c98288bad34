"""Comparing predictions of one test set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.comparison.statistics import Side, compare_sides
from harness.errors import UserError
from harness.metrics.frame import snippet_table
from harness.metrics.paired import differences
from harness.metrics.protocol import evaluate
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth

SNIPPETS = 10
ALIGNMENT = Alignment(kind="stride")
CLASSES = ("Normal", "Fire", "Fight")
TRUTH = GroundTruth(
    "d",
    CLASSES,
    ALIGNMENT,
    {f"v{i:02d}": VideoTruth(160, (i % 3,), (Event(32, 80, i % 3),) if i % 3 else ()) for i in range(30)},
)


def _side(name: str, signal: float, seeds: int = 1, broken: int | None = None) -> Side:
    events = np.concatenate([video.mask()[::16] for video in TRUTH.videos.values()])
    sets = []
    for seed in range(seeds):
        scores = signal * events + np.random.default_rng([len(name), seed]).random(events.size)
        if broken is not None:
            rows = slice(broken * SNIPPETS, (broken + 1) * SNIPPETS)
            scores[rows] = -scores[rows]
        offsets = np.arange(31) * SNIPPETS
        sets.append(Predictions(tuple(TRUTH.videos), offsets, scores.astype(np.float32), ALIGNMENT, CLASSES))
    return Side(name, tuple(sets))


def test_every_pair_and_metric_gets_a_verdict() -> None:
    sets = [_side("good", 2.0, seeds=3), _side("poor", 0.0, seeds=3), _side("fair", 1.0, seeds=3)]
    found = compare_sides(sets, TRUTH)
    document = found.as_json()
    assert [(p["a"], p["b"]) for p in document["pairs"][::5]] == [("good", "poor"), ("good", "fair"), ("poor", "fair")]
    first = {p["metric"]: p for p in document["pairs"] if (p["a"], p["b"]) == ("good", "poor")}
    assert list(first) == ["frame_auc", "frame_ap", "abnormal_auc", "abnormal_ap", "video_auc"]
    assert first["frame_auc"]["verdict"] == "good ahead"
    assert first["frame_auc"]["interval"][0] > 0
    assert first["frame_auc"]["scope"] == "method"
    assert first["frame_auc"]["interval"] != first["frame_auc"]["interval_videos"]
    assert first["frame_auc"]["standard_error_seeds"] > 0
    assert first["frame_auc"]["p_value"] == pytest.approx(3 * first["frame_auc"]["p_alone"])
    backward = next(p for p in document["pairs"] if (p["a"], p["metric"]) == ("poor", "frame_auc"))
    assert backward["verdict"] == "fair ahead"
    assert {c["class"] for c in document["classes"]} == {"Fire", "Fight"}
    assert "for 3 pair" in document["statistics"]["p_value"]


def test_differences_are_those_of_the_protocol() -> None:
    sets = [_side("good", 1.0, seeds=2), _side("poor", 0.2)]
    scored = [[evaluate(p, TRUTH) for p in each.predictions] for each in sets]
    found = compare_sides(sets, TRUTH, resamples=100, permutations=100)
    for verdict in found.verdicts:
        means = [np.mean([e.metrics[verdict.metric] for e in each]) for each in scored]
        assert verdict.difference.value == pytest.approx(means[0] - means[1], abs=1e-12)
        assert found.standings[0].mean(verdict.metric) == pytest.approx(means[0])
    for each in found.classes:
        means = [np.mean([e.class_auc[each.name] for e in own]) for own in scored]
        assert each.difference.value == pytest.approx(means[0] - means[1], abs=1e-12)
        assert each.difference.low <= each.difference.value <= each.difference.high


def test_class_intervals_are_those_of_resampled_snippets() -> None:
    sets = [_side("good", 1.0), _side("poor", 0.2)]
    tables = {each.name: [snippet_table(p, TRUTH) for p in each.predictions] for each in sets}
    normal = np.array([not video.abnormal for video in TRUTH.videos.values()])
    keep = normal | np.array([1 in video.labels for video in TRUTH.videos.values()])
    number = np.cumsum(keep) - 1
    for name, (table,) in tables.items():
        part = table.where(keep[table.video])
        tables[name] = [replace(part, video=number[part.video])]
    expected = differences(tables, normal[keep], resamples=200, permutations=0)["good", "poor"]["frame_auc"]
    classes = compare_sides(sets, TRUTH, resamples=200, permutations=10).classes
    fire = next(each.difference for each in classes if each.name == "Fire")
    assert (fire.value, fire.low, fire.high) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-12)


def test_seeds_of_one_method_are_not_told_apart() -> None:
    one, other = _side("one", 0.5, seeds=2).predictions
    for verdict in compare_sides([Side("s0", (one,)), Side("s1", (other,))], TRUTH).verdicts:
        assert verdict.verdict == "no evidence of a difference, these weights only"


def test_the_same_set_twice_changes_no_number_but_speaks_of_the_method() -> None:
    rival = _side("rival", 0.3, seeds=2)
    (own,) = _side("own", 1.0).predictions
    once, twice = (compare_sides([Side("own", sets), rival], TRUTH, 100, 100) for sets in ((own,), (own, own)))
    assert {v.difference.scope for v in once.verdicts} == {"weights"}
    assert [replace(v.difference, scope="method") for v in once.verdicts] == [v.difference for v in twice.verdicts]
    assert twice.standings[0].sd("frame_auc") == 0


def test_one_seed_makes_no_claim_about_the_method() -> None:
    sets = [_side("good", 2.0), _side("poor", 0.0)]
    found = compare_sides(sets, TRUTH)
    first = found.verdicts[0]
    assert (first.sure, first.verdict) == (True, "good ahead, these weights only")
    assert first.as_json()["standard_error_seeds"] is None
    assert found.standings[0].total("frame_auc") is None
    assert found.standings[0].videos("frame_auc") is not None
    mixed = compare_sides([_side("good", 0.9, seeds=3), sets[1]], TRUTH).verdicts[0]
    assert mixed.verdict == "good ahead, these weights only"
    assert mixed.difference.seeds


def test_seeds_that_differ_much_make_no_verdict() -> None:
    # Seeds of both methods spread the same way: the frame AUC of two of three leads, of one it does not.
    strong, weak = _side("strong", 2.0).predictions, _side("weak", 0.0).predictions
    sets = [Side("a", (*strong, *strong, *weak)), Side("b", (*weak, *weak, *strong))]
    first = compare_sides(sets, TRUTH).verdicts[0]
    assert first.difference.value > 0.1
    assert first.difference.videos_low > 0, "the videos alone would have called it"
    assert first.verdict == "no evidence of a difference"


def test_the_same_seeds_meet_in_pairs() -> None:
    a, b = _side("a", 1.0, seeds=4), _side("b", 1.0, seeds=4)
    paired, unpaired, turned = (
        compare_sides([replace(a, seeds=one), replace(b, seeds=other)], TRUTH).verdicts[0].difference
        for one, other in (((0, 1, 2, 3), (0, 1, 2, 3)), ((), ()), ((0, 1, 2, 3), (3, 2, 1, 0)))
    )
    aucs = [[evaluate(p, TRUTH).metrics["frame_auc"] for p in each.predictions] for each in (a, b)]
    apart = np.array(aucs[0]) - np.array(aucs[1])
    assert paired.seeds == pytest.approx(apart.std(ddof=1) / 2)
    assert unpaired.seeds == pytest.approx(np.sqrt(np.var(aucs[0], ddof=1) / 4 + np.var(aucs[1], ddof=1) / 4))
    assert unpaired == turned


def test_segments_meet_snippets_of_fixed_length() -> None:
    snippets = _side("snippets", 1.0)
    (p,) = snippets.predictions
    segments = replace(p, alignment=Alignment(kind="segments"))  # ten segments of 160 frames are the same frames
    found = compare_sides([snippets, Side("segments", (segments,))], TRUTH, 100, 100)
    assert all(verdict.difference.value == 0 for verdict in found.verdicts)
    assert found.videos[0].deciding is None


def test_the_video_that_makes_the_difference_is_named() -> None:
    same, broken = _side("same", 2.0), _side("sam2", 2.0, broken=4)
    (pair,) = compare_sides([same, broken], TRUTH, resamples=50, permutations=50).videos
    assert pair.gains[0][0] == "v04"
    assert pair.deciding == ("v04",)


def test_wrong_sides_are_refused() -> None:
    one = _side("one", 1.0)
    with pytest.raises(UserError, match="two or more"):
        compare_sides([one], TRUTH)
    with pytest.raises(UserError, match="two or more different"):
        compare_sides([one, one], TRUTH)
