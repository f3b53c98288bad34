"""A whole evaluation of every method beside the plain one: the test pass and all metrics. Run with `tox -e bench`."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import average_precision_score, roc_auc_score

from harness.data.bank import Split
from harness.metrics.protocol import evaluate
from harness.plugin import Method
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth
from harness.training.predict import predict
from tests.benchmarks.conftest import TestSet
from tests.benchmarks.workload import both, card, names, report, size, split
from tests.metrics.reference import reference_map

TARGETS = {"dsanet": 4, "vadclip": 12}
PASS_TARGETS = {"cliptsa": 10}


@pytest.mark.benchmark(group="evaluation")
@pytest.mark.parametrize("name", names())
def test_evaluation(benchmark: BenchmarkFixture, say: Callable[[str], None], ucf: TestSet, name: str) -> None:
    """UCF-Crime's test set. The plain side computes frame AUC, AP and mAP; ours the whole protocol.

    Every round of ours begins with a copy that has read nothing yet: what is kept between videos is made anew.
    """
    scale = size(benchmark)
    plain, ours = (method.eval() for method in both(name, scale))
    truth = part(ucf[1], scale.every)
    test = split({video: -(-each.frames // 16) for video, each in truth.videos.items()})

    start = time.perf_counter()
    expected = read_plainly(plain, test)
    slow_pass = time.perf_counter() - start
    metrics = plain_metrics(expected, truth)
    slow = time.perf_counter() - start
    passes = []

    def whole(method: Method) -> Predictions:
        found, seconds = predict(method, test, truth.alignment)
        evaluate(found, truth)
        passes.append(seconds)
        return found

    found = benchmark.pedantic(whole, setup=lambda: ((copy.deepcopy(ours),), {}), rounds=scale.rounds)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6)
    assert (found.class_probs is None) == (expected.class_probs is None)
    if found.class_probs is not None:
        np.testing.assert_allclose(found.class_probs, expected.class_probs, rtol=0, atol=1e-6)
    # On the same scores: where two scores differ by a rounding error, their order and so a metric may differ as well.
    protocol = evaluate(expected, truth).metrics
    assert {metric: protocol[metric] for metric in metrics} == pytest.approx(metrics, abs=1e-9)
    if benchmark.stats is not None:
        evaluation = (slow, benchmark.stats.stats.median)
        report(benchmark, say, f"{name}, evaluation", evaluation, TARGETS.get(name, 1.5))
        report(benchmark, say, f"{name}, test pass", (slow_pass, statistics.median(passes)), PASS_TARGETS.get(name))


def part(truth: GroundTruth, every: int) -> GroundTruth:
    """Return every n-th video of the ground truth, under UCF-Crime's class names."""
    videos = dict(list(truth.videos.items())[::every])
    return dataclasses.replace(truth, dataset=card().name, classes=card().class_names, videos=videos)


def read_plainly(method: Method, test: Split) -> Predictions:
    """Score video by video, as official test scripts do.

    A method with windows of T reads n // T + 1 of a video, the last one padded; one that begins at the video's end is
    empty and is announced as full (dv 1.4).
    """
    window, passes = method.reading().window, getattr(method, "TEST_PASSES", 1)
    scores: list[NDArray[np.float32]] = []
    probs: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for index, item in enumerate(test.items):
            video, lengths = torch.from_numpy(test.item_features(index)), [item.snippets]
            if window:
                full, rest = divmod(item.snippets, window)
                video = F.pad(video, (0, 0, 0, window - rest))
                lengths = [window] * full + [rest or window]
            for _ in range(passes):
                found = method.predict(video.unflatten(0, (len(lengths), -1)), torch.tensor(lengths))
            scores.append(found.scores.flatten()[: item.snippets].numpy())
            if found.class_probs is not None:
                probs.append(found.class_probs.flatten(0, 1)[: item.snippets].numpy())
    return Predictions(
        videos=tuple(item.video for item in test.items),
        offsets=test.offsets,
        scores=np.concatenate(scores),
        alignment=card().alignment,
        classes=card().class_names,
        class_probs=np.concatenate(probs) if probs else None,
    )


def plain_metrics(predictions: Predictions, truth: GroundTruth) -> dict[str, float]:
    """Return frame AUC and AP of scores repeated for every frame, and the mAP of a method that classifies."""
    labels = np.concatenate([video.mask() for video in truth.videos.values()])
    parts = [predictions.scores[predictions.rows(index)] for index in range(len(predictions.videos))]
    repeated = [np.repeat(part, 16)[: video.frames] for part, video in zip(parts, truth.videos.values(), strict=True)]
    scores = np.concatenate(repeated)
    found = {
        "frame_auc": float(roc_auc_score(labels, scores)),
        "frame_ap": float(average_precision_score(labels, scores)),
    }
    if predictions.class_probs is not None:
        values = reference_map(predictions, truth, strict=False)
        found |= {f"map@{threshold}": value for threshold, value in zip((0.1, 0.2, 0.3, 0.4, 0.5), values, strict=True)}
    return found
