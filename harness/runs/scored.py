"""The numbers of a run, by the question that it was asked."""

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


def scored(spec: RunSpec, card: DatasetCard, predictions: Predictions, truth: GroundTruth) -> Evaluation:
    """Return the metrics of a run on the test set of `card`.

    Raises:
        UserError: the predictions are not of this test set.
    """
    if spec.vocabulary:
        found = evaluate_open(predictions, truth, spec.vocabulary)
    else:
        shared = shared_classes(find_card(spec.trained_on), card) if spec.trained_on else None
        found = evaluate(predictions, truth, None if shared is None else tuple(shared.values()))
    if spec.reading == "causal":
        found = replace(found, metrics=found.metrics | early(predictions, truth, card.fps))
    return found
