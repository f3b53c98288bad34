"""Our side of the `eval-map-*` parity cases: the field's mAP on the community's ground truth with drawn predictions."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.metrics.frame import Floats, SnippetFrames
from harness.metrics.segments import detections, field_mean
from harness.parity.cases import Case, Computed

STRIDE = 16
NORMAL = "A"
# Snippets that a drawn prediction has beyond its video's last annotated frame.
SPARE = 4

# Class name, start frame, end frame (exclusive).
Segment = tuple[str, int, int]


def compute(case: Case) -> Computed:
    """Return `map` `[5]`, `map_avg`, `small_map` `[5]` and `small_map_avg` of the case, in percent.

    The ground truth is read from the annotation texts, which hold the same segments as the pickled `gt_segment*.npy`
    and `gt_label*.npy` beside them, so no pickle is opened.

    Raises:
        UserError: the lists are missing or not those of the case's data set.
    """
    lists = case.lists or case.path / ".." / ".." / "real" / "lists"
    classes: list[str] = case.spec["config"]["classes"]
    lengths: list[int] = case.values["snippets_per_video"]
    annotated = _annotated(lists, case.spec["variant"], lengths)
    drawn = [_drawn(case, index, length, annotated[index]) for index, length in enumerate(lengths)]
    listed = [np.array(probs, dtype=np.float32) for probs in case.values["small_probs"]]
    named = [
        [(label, int(start), int(end)) for label, (start, end) in zip(labels, segments, strict=True)]
        for labels, segments in zip(case.values["small_labels"], case.values["small_segments"], strict=True)
    ]
    full, small = _percent(drawn, annotated, classes), _percent(listed, named, classes)
    return Computed(
        outputs={"map": full, "map_avg": float(full.mean()), "small_map": small, "small_map_avg": float(small.mean())}
    )


def _percent(probs: Sequence[NDArray[np.float32]], truth: Sequence[Sequence[Segment]], classes: list[str]) -> Floats:
    """mAP `[5]` in percent of class scores `[n, K]` per video, n snippets of 16 frames."""
    lengths = [len(video) for video in probs]
    start = np.concatenate([np.arange(length, dtype=np.int64) * STRIDE for length in lengths])
    frames = SnippetFrames(
        row=np.arange(len(start)),
        video=np.repeat(np.arange(len(lengths)), lengths),
        start=start,
        end=start + STRIDE,
    )
    # UCF-Crime's class list lacks the label of normal videos: they have no ground truth there.
    rows = [
        (index, classes.index(label), begin, end)
        for index, segments in enumerate(truth)
        for label, begin, end in segments
        if label in classes
    ]
    found = detections(np.concatenate(probs), frames)
    return 100 * field_mean(found, np.array(rows, dtype=np.int64).reshape(-1, 4), len(classes))


def _drawn(case: Case, index: int, length: int, segments: Iterable[Segment]) -> NDArray[np.float32]:
    """Class scores `[length, K]` of video `index` by the case's prediction rule."""
    rule, classes = case.spec["config"]["prediction_rule"], case.spec["config"]["classes"]
    coarse = case.draw(
        f"coarse{index}", shape=(-(-length // rule["hold"]), len(classes)), mean=0, std=rule["coarse_std"]
    )
    fine = case.draw(f"fine{index}", shape=(length, len(classes)), mean=0, std=rule["fine_std"])
    logits = np.repeat(coarse.astype(np.float64), rule["hold"], axis=0)[:length] + fine.astype(np.float64)
    for label, start, end in segments:
        logits[start // STRIDE : -(-end // STRIDE), 0 if label == NORMAL else classes.index(label)] += rule["boost"]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs: NDArray[np.float32] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)
    return probs


def _annotated(lists: Path, variant: str, lengths: Sequence[int]) -> list[list[Segment]]:
    """Segments of every test video in the test list's order; a normal video is one segment of class A."""
    listing = lists / f"{variant}_CLIP_rgbtest.csv"
    annotations = lists / ("Temporal_Anomaly_Annotation.txt" if variant == "ucf" else "annotations_multiclasses.txt")
    try:
        with listing.open(newline="", encoding="utf-8") as stream:
            names = [row["path"].rsplit("/", 1)[-1].rsplit("__", 1)[0] for row in csv.DictReader(stream)]
        rows = [line.split() for line in annotations.read_text(encoding="utf-8").splitlines() if line.strip()]
        events = {row[0].removesuffix(".mp4"): _events(row[1:], variant) for row in rows}
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{lists}: cannot read the {variant} ground truth ({error}); name the lists' directory"
        ) from error
    if len(names) != len(lengths):
        raise UserError(f"{listing}: lists {len(names)} videos, the case has {len(lengths)}")
    # Normal videos are annotated over their whole length, which the case's own rule gives back.
    return [
        events.get(name) or [(NORMAL, 0, (length - SPARE) * STRIDE)]
        for name, length in zip(names, lengths, strict=True)
    ]


def _events(fields: Sequence[str], variant: str) -> list[Segment]:
    """UCF-Crime: `class s1 e1 s2 e2`, -1 for none. XD-Violence: `class s e` repeated."""
    if variant == "ucf":
        bounds = [int(field) for field in fields[1:]]
        return [(fields[0], start, end) for start, end in zip(bounds[::2], bounds[1::2], strict=True) if start >= 0]
    triples = zip(fields[::3], fields[1::3], fields[2::3], strict=True)
    return [(label, int(start), int(end)) for label, start, end in triples]
