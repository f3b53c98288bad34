"""What a score says line by line: a number, its unit, how sure it is, what was counted, and why one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.metrics.intervals import Uncertainty
from harness.metrics.protocol import Evaluation
from harness.records.truth import GroundTruth, VideoTruth

# Words of a class that the whole test set already says.
ONLY = "the only class: the same as over all videos"
_EMPTY_CLASS = "0 by the field's rule where a class has no detection at all; the strict mAP has no such rule"


@dataclass(frozen=True)
class Line:
    """One metric, or the AUC of a class: fractions, of which `value` and `interval` may be undefined.

    `count` and `counted` say over what it is: 1,111,808 "frames", or 140 "events". `reason` says why value or interval
    is None, and `note` what else a reader must know.
    """

    name: str
    value: float | None
    interval: tuple[float, float] | None
    count: int
    counted: str
    reason: str = ""
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **{"value": self.value, "interval": self.interval and list(self.interval), "count": self.count},
            **{"counted": self.counted, "reason": self.reason or None, "note": self.note or None},
        }


def metric_lines(evaluation: Evaluation, known: Uncertainty, truth: GroundTruth) -> tuple[Line, ...]:
    """Return a line for each metric, those that the test set leaves undefined too."""
    test = _Counted(truth)
    lines = []
    for name in (*evaluation.metrics, *evaluation.undefined):
        value, estimate = evaluation.metrics.get(name), known.metrics.get(name)
        count, counted = test.of(name)
        if value is None:
            lines.append(Line(name, None, None, count, counted, test.why(name)))
            continue
        interval = None if estimate is None or isinstance(estimate, str) else estimate.interval_in_odds()
        reason = estimate if isinstance(estimate, str) else "" if estimate else "no video is resampled for it"
        zero = name.startswith("map") and "strict" not in name and not value
        hidden = zero and bool(evaluation.metrics.get(name.replace("map", "map_strict", 1)))
        lines.append(Line(name, value, interval, count, counted, reason, _EMPTY_CLASS if hidden else ""))
    return tuple(lines)


def class_lines(evaluation: Evaluation, known: Uncertainty, truth: GroundTruth) -> tuple[Line, ...]:
    """Return a line for each abnormal class; one that has no test video, or stands for all, has no value."""
    lines = []
    shown = [name for name in truth.classes[1:] if name in evaluation.class_auc]
    for label, name in enumerate(truth.classes):
        if not label:
            continue
        videos = [video for video in truth.videos.values() if label in video.labels or video.normal]
        own = [video for video in videos if label in video.labels]
        count, counted = (
            sum(video.frames for video in videos),
            f"{truth.unit} of its {_videos(len(own))} and all normal",
        )
        value, estimate = evaluation.class_auc.get(name), known.class_auc.get(name)
        if value is None:
            reason = "no test video shows it" if not own else _Counted(truth, videos).why("frame_auc")
            lines.append(Line(name, None, None, count, counted, reason))
        elif shown == [name] and value == evaluation.metrics.get("frame_auc"):
            lines.append(Line(name, None, None, count, counted, ONLY))
        else:
            interval = None if estimate is None or isinstance(estimate, str) else estimate.interval_in_odds()
            lines.append(Line(name, value, interval, count, counted, estimate if isinstance(estimate, str) else ""))
    return tuple(lines)


class _Counted:
    """What each metric counts on a test set, and why it may be undefined."""

    def __init__(self, truth: GroundTruth, videos: Sequence[VideoTruth] | None = None) -> None:
        every = truth.videos.values() if videos is None else videos
        self.unit = truth.unit
        self.videos = [video for video in every if video.labels]
        self.abnormal = [video for video in self.videos if video.abnormal]
        self.normal = [video for video in self.videos if video.normal]
        self.inside = {id(video): int(video.mask().sum()) for video in self.videos}
        self.mixed = [video for video in self.videos if 0 < self.inside[id(video)] < video.frames]

    def of(self, name: str) -> tuple[int, str]:
        """How many of what a metric is over."""
        if name.startswith("map"):
            return sum(len(video.events) for video in self.videos), "events"
        if name == "video_auc":
            return len(self.videos), "videos"
        if name == "macro_auc":
            return len(self.mixed), f"videos with {self.unit} in and out of events"
        chosen, where = self.videos, f"{self.unit} of {_videos(len(self.videos))}"
        if name.startswith("abnormal"):
            chosen, where = self.abnormal, f"{self.unit} of {_videos(len(self.abnormal), 'abnormal ')}"
        elif name == "false_alarm_rate":
            chosen, where = self.normal, f"{self.unit} of {_videos(len(self.normal), 'normal ')}"
        return sum(video.frames for video in chosen), where

    def why(self, name: str) -> str:
        """Why a metric is undefined."""
        if not self.videos:
            return "no test video is labelled"
        if name == "false_alarm_rate":
            return "no test video is normal"
        if not self.abnormal:
            return f"no test video is abnormal ({len(self.normal):,} normal)"
        if name == "video_auc":
            return "no test video is normal"
        if name.startswith("map"):
            return "no event is annotated"
        if name == "macro_auc":
            return f"no video has {self.unit} both in and out of events"
        chosen = self.abnormal if name.startswith("abnormal") else self.videos
        if not any(self.inside[id(video)] for video in chosen):
            return f"none of the {self.unit} lies in an event"
        return f"every one of the {self.unit} lies in an event"


def _videos(count: int, kind: str = "") -> str:
    return f"{count:,} {kind}video{'' if count == 1 else 's'}"
