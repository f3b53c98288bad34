"""The numbers of a run, by the question that it was asked: all classes, base and novel ones, causally."""

from __future__ import annotations

from dataclasses import replace

from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.data.class_maps import shared_classes
from harness.metrics.early import early
from harness.metrics.protocol import Evaluation, evaluate
from harness.metrics.vocabulary import evaluate_open
from harness.records.predictions import Predictions
from harness.records.spec import RunSpec
from harness.records.truth import GroundTruth


def answer(spec: RunSpec, predictions: Predictions, truth: GroundTruth, card: DatasetCard | None = None) -> Evaluation:
    """Return the metrics of a run on its test set; `card` is that of the test set, None: the one of its name.

    Raises:
        UserError: the predictions are not of this test set, or a data set that the question needs is not known here.
    """
    if spec.vocabulary:
        found = evaluate_open(predictions, truth, spec.vocabulary)
    else:
        shared = (
            shared_classes(find_card(spec.trained_on), card or find_card(spec.dataset)) if spec.trained_on else None
        )
        found = evaluate(predictions, truth, None if shared is None else tuple(shared.values()))
    if spec.reading == "causal":
        fps = (card or find_card(spec.dataset)).fps
        found = replace(found, metrics=found.metrics | early(predictions, truth, fps))
    return found
