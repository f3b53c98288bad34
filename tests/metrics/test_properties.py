"""What holds for every test set: invariances of the metrics, and that intervals and p-values mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.metrics.bootstrap import multiplicities, resampled
from harness.metrics.frame import SnippetTable, average_precision, roc_auc, snippet_table
from harness.metrics.paired import differences, holm
from harness.metrics.protocol import Evaluation, evaluate
from harness.metrics.variance import estimates
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from tests.metrics.reference import STRIDE, random_set

Scored = tuple[Predictions, GroundTruth]
SEEDS = st.integers(0, 2**32 - 1)


def same(one: Evaluation, other: Evaluation, without: tuple[str, ...] = ()) -> None:
    for found, expected in ((one.metrics, other.metrics), (one.class_auc, other.class_auc)):
        kept = {name: value for name, value in expected.items() if not name.startswith(without or ("-",))}
        assert {name: found[name] for name in kept} == pytest.approx(kept, abs=1e-12)
        assert found.keys() == expected.keys()
    assert one.frames == other.frames


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, data=st.data())
def test_strictly_monotone_maps_of_the_scores_change_nothing(seed: int, data: st.DataObject) -> None:
    predictions, truth = random_set(seed)
    levels, level = np.unique(predictions.scores, return_inverse=True)
    # Any strictly increasing values in place of the levels, however close: a formula could make two of them equal.
    values = st.floats(-(2.0**100), 2.0**100, width=32)
    drawn = data.draw(st.lists(values, min_size=len(levels), max_size=len(levels), unique=True))
    mapped = replace(predictions, scores=np.sort(np.array(drawn, dtype=np.float32))[level])
    # False alarms are counted above a fixed score; mAP has scores of its own.
    same(evaluate(mapped, truth), evaluate(predictions, truth), without=("false_alarm_rate",))
    kinds = np.array([not video.abnormal for video in truth.videos.values()])
    before, after = (estimates([snippet_table(each, truth)], kinds, resamples=20) for each in (predictions, mapped))
    assert after == before


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, parts=st.sampled_from([2, 4, 16]))
def test_splitting_snippets_changes_nothing(seed: int, parts: int) -> None:
    """Two or four snippets of the same score in place of one, or one for each frame."""
    predictions, truth = random_set(seed)
    finer = Alignment(kind="stride", stride=STRIDE.stride // parts)
    split = replace(
        predictions,
        offsets=predictions.offsets * parts,
        scores=np.repeat(predictions.scores, parts),
        class_probs=np.repeat(predictions.class_probs, parts, axis=0),
        alignment=finer,
    )
    same(evaluate(split, replace(truth, alignment=finer)), evaluate(predictions, truth))


def in_order(predictions: Predictions, order: list[int]) -> Predictions:
    rows = np.concatenate([np.arange(len(predictions.scores))[predictions.rows(index)] for index in order])
    return replace(
        predictions,
        videos=tuple(predictions.videos[index] for index in order),
        offsets=np.cumsum([0, *np.diff(predictions.offsets)[order]]),
        scores=predictions.scores[rows],
        class_probs=predictions.class_probs[rows],
    )


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, tied=st.booleans(), data=st.data())
def test_the_order_of_videos_changes_nothing(seed: int, tied: bool, data: st.DataObject) -> None:
    predictions, truth = random_set(seed)
    if not tied:
        probs = np.random.default_rng(seed).random(predictions.class_probs.shape, dtype=np.float32)
        predictions = replace(predictions, class_probs=probs, scores=1 - probs[:, 0])
    order = data.draw(st.permutations(range(len(truth.videos))))
    names = list(truth.videos)
    turned = replace(truth, videos={names[index]: truth.videos[names[index]] for index in order})
    # Detections of equal score are ranked in the order of videos, by definition.
    same(evaluate(predictions, turned), evaluate(predictions, truth), without=("map",) if tied else ())
    same(evaluate(in_order(predictions, order), truth), evaluate(predictions, truth))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_tied_resamples_equal_scikit_learn(seed: int) -> None:
    predictions, truth = random_set(seed, levels=3)
    table = snippet_table(predictions, truth)
    draws = multiplicities(np.array([not video.abnormal for video in truth.videos.values()]), 5, seed)
    found = resampled(table, draws)
    labels, scores = np.repeat([1, 0], len(table.scores)), np.concatenate([table.scores, table.scores])
    counts = np.concatenate([table.positives, table.negatives])
    for index, draw in enumerate(draws):
        weights = counts * np.concatenate([draw[table.video]] * 2)
        if weights[labels == 1].any() and weights[labels == 0].any():
            assert found["frame_auc"][index] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
            expected = average_precision_score(labels, scores, sample_weight=weights)
            assert found["frame_ap"][index] == pytest.approx(expected)


def population(random: np.random.Generator, videos: int) -> tuple[SnippetTable, Any]:
    """Draw a test set and whether each video is normal.

    Lengths differ as UCF-Crime's do (their logarithms by 1.0), frames of one video share an effect, and one event in
    each abnormal video raises the scores, by more in some videos than in others.
    """
    kinds = np.arange(videos) % 2 == 0
    length = np.maximum(2, np.rint(random.lognormal(np.log(12), 1.0, videos)).astype(int))
    video = np.repeat(np.arange(videos), length)
    place = np.arange(len(video)) - np.repeat(np.cumsum(length) - length, length)
    event = np.maximum(1, np.rint(length * random.uniform(0.05, 0.4, videos)).astype(int))
    start = (random.random(videos) * (length - event + 1)).astype(int)
    inside = ~kinds[video] & (place >= start[video]) & (place < (start + event)[video])
    shared, raised = random.standard_normal(videos) + 0.3 * ~kinds, random.normal(2.0, 0.8, videos)
    scores = shared[video] + inside * raised[video] + 0.7 * random.standard_normal(len(video))
    positives = np.where(inside, 16, 0)
    return SnippetTable(scores, positives, 16 - positives, video), kinds


METRICS: dict[str, Callable[..., float | None]] = {"frame_auc": roc_auc, "frame_ap": average_precision}


@pytest.mark.slow
def test_intervals_hold_the_true_value_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    whole, _ = population(random, 200_000)
    true = {name: metric(whole.scores, whole.positives, whole.negatives) for name, metric in METRICS.items()}
    held = dict.fromkeys(METRICS, 0)
    for trial in range(500):
        table, kinds = population(random, 290)
        for name, found in estimates([table], kinds, resamples=200, seed=trial).items():
            low, high = found.interval_in_odds()
            held[name] += low <= true[name] <= high
    for name, count in held.items():
        assert 0.93 <= count / 500 <= 0.97, f"{name}: {count} of 500"


def test_p_values_are_uniform_and_holms_are_safe_where_nothing_differs() -> None:
    """Four exchangeable methods on 40 videos: what they share moves all of them, what they do not is drawn alike."""
    random = np.random.default_rng(1)
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    wrong = dict.fromkeys(METRICS, 0)
    trials, permutations = 300, 99
    for trial in range(trials):
        table, kinds = population(random, 40)
        methods = {}
        for name in "abcd":
            own = random.standard_normal(40)[table.video] + random.standard_normal(len(table.video))
            methods[name] = [replace(table, scores=table.scores + own)]
        found = differences(methods, kinds, resamples=8, permutations=permutations, seed=trial)
        for metric in METRICS:
            p_values = [found[pair][metric].p_value for pair in combinations("abcd", 2)]
            values[metric].append(p_values[0])
            wrong[metric] += min(holm(p_values)) < 0.05
    for metric in METRICS:
        # A permutation p-value is a multiple of 1/100; spread within its step it is uniform.
        spread = np.array(values[metric]) - random.random(trials) / (permutations + 1)
        assert kstest(spread, "uniform").pvalue > 0.001, metric
        assert binomtest(wrong[metric], trials, 0.05, alternative="greater").pvalue > 0.001, metric
