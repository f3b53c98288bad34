"""Ground truth of a test set: frames, labels and events per video. Only metrics and reports read it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.io.atomic import read_json, write_json
from harness.records.alignment import Alignment
from harness.records.label_access import check_reach


@dataclass(frozen=True)
class Event:
    """Frames [start, end) of one event of class `label` (index into the classes)."""

    start: int
    end: int
    label: int


@dataclass(frozen=True)
class VideoTruth:
    """Ground truth of one video: its length in frames, its video-level classes, its events in list order."""

    frames: int
    labels: tuple[int, ...]
    events: tuple[Event, ...] = ()

    @property
    def abnormal(self) -> bool:
        """Whether any of its classes is not the normal one."""
        return any(label > 0 for label in self.labels)

    @property
    def normal(self) -> bool:
        """Whether it is known to show no event; a video without any class is not labelled."""
        return bool(self.labels) and not self.abnormal

    def mask(self) -> NDArray[np.bool_]:
        """Frame labels `[frames]`; events are cut at the video's end."""
        mask = np.zeros(self.frames, dtype=bool)
        for event in self.events:
            mask[event.start : event.end] = True
        return mask


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of a test set, in the test list's order.

    `excluded` names videos without features. `unit` says in words what is counted: frames, or the rows of a file that
    does not say how many frames a row stands for.
    """

    dataset: str
    classes: tuple[str, ...]
    alignment: Alignment
    videos: Mapping[str, VideoTruth]
    primary: str = "frame_auc"
    map_variant: Literal["ucf", "xd"] = "ucf"
    excluded: tuple[str, ...] = ()
    unit: str = "frames"

    @property
    def frames(self) -> int:
        """All test frames."""
        return sum(video.frames for video in self.videos.values())

    @property
    def undefined(self) -> str:
        """In a sentence, which of the usual metrics are undefined on this test set and why; "" where none is."""
        videos = [video for video in self.videos.values() if video.labels]
        total = sum(video.frames for video in videos)
        positives = sum(int(video.mask().sum()) for video in videos)
        if total and positives == total:
            return f"frame AUC and AP are undefined: every one of the {self.unit} lies in an event"
        if positives:
            return ""
        reason = f"none of the {self.unit} lies in an event"
        if not videos:
            reason = "no test video is labelled" if self.videos else "there is no test video"
        elif all(video.normal for video in videos):
            reason = f"no test video is abnormal ({len(videos)} normal)"
        return f"frame AUC, AP and mAP are undefined: {reason}"

    def where(self, kept: Callable[[VideoTruth], bool]) -> GroundTruth:
        """Return that of the videos for which `kept` is true."""
        return replace(self, videos={name: video for name, video in self.videos.items() if kept(video)})

    def of_classes(self, names: Collection[str]) -> GroundTruth:
        """Return that of the normal class and of those in `names` alone.

        A video that shows nothing but other classes has no class then, so that it is not scored.
        """
        kept = [i for i, name in enumerate(self.classes) if not i or name in names]
        index = {old: new for new, old in enumerate(kept)}
        videos = {
            name: VideoTruth(
                video.frames,
                tuple(index[label] for label in video.labels if label in index),
                tuple(Event(e.start, e.end, index[e.label]) for e in video.events if e.label in index),
            )
            for name, video in self.videos.items()
        }
        return replace(self, classes=tuple(self.classes[i] for i in kept), videos=videos)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form; `from_dict` reads it back."""
        return {
            "dataset": self.dataset,
            "classes": list(self.classes),
            "alignment": self.alignment.model_dump(),
            "primary": self.primary,
            "map_variant": self.map_variant,
            "excluded": list(self.excluded),
            "videos": [
                {
                    "video": name,
                    "frames": video.frames,
                    "labels": list(video.labels),
                    "events": [[event.start, event.end, event.label] for event in video.events],
                }
                for name, video in self.videos.items()
            ],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> GroundTruth:
        """Build from what `to_dict` returned; raises KeyError, TypeError or ValueError on other content."""
        return cls(
            dataset=value["dataset"],
            classes=tuple(value["classes"]),
            alignment=Alignment.model_validate(value["alignment"]),
            videos={
                row["video"]: VideoTruth(
                    int(row["frames"]), tuple(row["labels"]), tuple(Event(*event) for event in row["events"])
                )
                for row in value["videos"]
            },
            primary=value["primary"],
            map_variant=value["map_variant"],
            excluded=tuple(value["excluded"]),
        )

    def save(self, path: Path) -> None:
        """Write JSON, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> GroundTruth:
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or not a ground truth file.
            HarnessError: this process computes a run; only the one that started it has the ground truth.
        """
        check_reach()
        try:
            return cls.from_dict(read_json(path))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: not a ground truth file ({' '.join(str(error).split())})") from error
