"""ROC and precision-recall curves over frames, read at fixed places so that seeds can be averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics.frame import Floats, SnippetTable

# Shares of negative frames (ROC) or of positive frames (precision-recall) at which the curves are read.
PLACES = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Curves:
    """`recall_at_false_alarms` and `precision_at_recall`, both at `PLACES`."""

    recall_at_false_alarms: Floats
    precision_at_recall: Floats


def curves(tables: Sequence[SnippetTable]) -> Curves | None:
    """Return the curves averaged over `tables`, one per seed; None where one lacks a kind of frames.

    The ROC curve is interpolated between thresholds, precision is that of the highest threshold that reaches the
    recall.
    """
    read = [_read(table) for table in tables]
    defined = [each for each in read if each is not None]
    if len(defined) < len(read) or not read:
        return None
    return Curves(*(np.mean(values, axis=0) for values in zip(*defined, strict=True)))


def _read(table: SnippetTable) -> tuple[Floats, Floats] | None:
    order = np.argsort(-table.scores, kind="stable")
    scores = table.scores[order]
    last = np.append(scores[1:] != scores[:-1], True)[: len(order)]
    hits, alarms = (np.cumsum(frames[order])[last] for frames in (table.positives, table.negatives))
    if not len(hits) or not hits[-1] or not alarms[-1]:
        return None
    recall = hits / hits[-1]
    roc = np.interp(PLACES, np.append(0, alarms / alarms[-1]), np.append(0, recall))
    reached = np.minimum(np.searchsorted(recall, PLACES - 1e-12), len(recall) - 1)
    return roc, (hits / np.maximum(hits + alarms, 1))[reached]
