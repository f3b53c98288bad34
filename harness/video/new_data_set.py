"""A data set of one's own from videos and a table of labels: the card, its lists and its annotations."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness.data.card import DatasetCard
from harness.data.lists import read_table
from harness.data.spelling import composed, video_of
from harness.errors import UserError
from harness.io.atomic import write_text
from harness.io.digests import digest
from harness.names import CARD_NAMES, is_card_name
from harness.video.decode import opened
from harness.video.sources import Source, find_videos

LABELS = "labels.csv"
_EXPECTED = "expected the header video,label or video,label,start,end (seconds), perhaps with split"
_NORMAL = {"normal", "0", "none", "no"}
# Of each class, how much is kept for the test.
_TEST = 0.3
_STRIDE = 16


@dataclass
class _Video:
    """A labelled video: its class, events in seconds, and the split if the table says one."""

    source: Source
    label: str
    where: str
    events: list[tuple[float, float]] = field(default_factory=list)
    split: str = ""


def write_data_set(root: Path, labels: Path | None, name: str | None, say: Callable[[str], None]) -> Path:
    """Write card, lists and annotations of the videos under `root` into `root`; return the card's path.

    `labels` is a table `video,label[,start,end][,split]`, by default `labels.csv` in `root`; each event of a video is a
    row, in seconds. Where the table says no split, a part of every class is kept for the test: of abnormal videos,
    those whose events are known.

    Raises:
        UserError: the table is missing or wrong, names no video here, or leaves a split without a class.
    """
    name = name or composed(root.resolve().name).lower().replace(" ", "-")
    if not is_card_name(name):
        raise UserError(f"--name {name!r}: expected {CARD_NAMES}")
    table = labels or root / LABELS
    videos = _labelled(table, find_videos([str(root)]))
    classes = _classes(videos)
    test = _tested(videos, table)
    rates = {video.source.name: _fps(video.source) for video in videos if video.source.name in test}
    of_split = {
        split: [video for video in videos if (video.source.name in test) == (split == "test")]
        for split in ("train", "test")
    }
    card = {
        "name": name,
        "title": name,
        "preset": "fast",
        "classes": [{"name": _word(each), "prompt": each.lower()} for each in classes],
        "splits": {split: {"list": f"{split}.txt", "videos": len(each)} for split, each in of_split.items()},
        "alignment": {"kind": "stride", "stride": _STRIDE},
        "frame_counts": "frame_counts.csv",
        "fps": statistics.median(rates.values()),
        "annotations": {"format": "ucf", "path": "annotations.txt", "interval": "half-open"},
        "protocol": {"primary": "frame_auc", "map": "ucf"},
    }
    DatasetCard.model_validate(card)
    for split, each in of_split.items():
        write_text(root / f"{split}.txt", "".join(f"{v.source.path.name} {_word(v.label)}\n" for v in each))
    write_text(root / "annotations.txt", "".join(f"{_events(video, rates)}\n" for video in of_split["test"]))
    path = root / f"{name}.yaml"
    write_text(path, yaml.safe_dump(card, sort_keys=False))
    counts = " and ".join(f"{len(each)} for {split}" for split, each in of_split.items())
    say(f"{len(classes)} classes ({', '.join(classes)}); {counts}")
    return path


def _labelled(table: Path, sources: Sequence[Source]) -> list[_Video]:
    """The videos that a table names, each with its events; those without a row are an error: they have no label."""
    known = {composed(source.name): source for source in sources}
    videos: dict[str, _Video] = {}
    for where, row in _rows(table):
        video = known.get(video_of(row["video"]))
        if video is None:
            raise UserError(f"{where}: video {row['video']!r} is not there; expected the name of a file beside {table}")
        label = "Normal" if row["label"].lower() in _NORMAL else row["label"]
        label = "Anomaly" if label == "1" else label
        entry = videos.setdefault(video.name, _Video(video, label, where, split=row.get("split", "")))
        if entry.label != label or entry.split != row.get("split", ""):
            raise UserError(f"{where}: {video.name} had another label or split at {entry.where}; it has one of each")
        if row.get("start") or row.get("end"):
            entry.events.append(_event(where, row, label))
    missing = [source.name for source in sources if source.name not in videos]
    if missing:
        raise UserError(
            f"{table}: {len(missing)} of {len(sources)} videos have no row, such as {missing[0]}; give each a label or "
            "move it elsewhere"
        )
    return [videos[name] for name in sorted(videos)]


def _rows(table: Path) -> list[tuple[str, dict[str, str]]]:
    found = list(read_table(table, ("video", "label"), ("start", "end", "split")))
    if not found or ("start" in found[0][1]) != ("end" in found[0][1]):
        problem = "start without end, or the other way round" if found else "names no video"
        raise UserError(f"{table}: {problem}; {_EXPECTED}")
    for where, row in found:
        if row.get("split", "") not in ("", "train", "test"):
            raise UserError(f"{where}: split {row['split']!r}, expected train, test or nothing")
    return found


def _event(where: str, row: Mapping[str, str], label: str) -> tuple[float, float]:
    try:
        start, end = float(row["start"]), float(row["end"])
    except ValueError as error:
        raise UserError(f"{where}: start and end {row['start']!r}, {row['end']!r}; expected seconds") from error
    if not 0 <= start < end < 1e9:
        raise UserError(f"{where}: an event from {start:g} to {end:g} s; expected 0 <= start < end")
    if label == "Normal":
        raise UserError(f"{where}: a normal video has no event; leave start and end empty")
    return start, end


def _classes(videos: Sequence[_Video]) -> list[str]:
    others = sorted({video.label for video in videos} - {"Normal"})
    if not others or all(video.label != "Normal" for video in videos):
        raise UserError(f"{videos[0].where}: expected normal videos (label normal) and abnormal ones")
    if len({_word(each) for each in others}) < len(others):
        raise UserError(f"{videos[0].where}: two labels differ in their spaces alone ({', '.join(others)})")
    return ["Normal", *others]


def _tested(videos: Sequence[_Video], table: Path) -> set[str]:
    """Names of the videos of the test."""
    chosen = {video.source.name for video in videos if video.split == "test"}
    if not any(video.split for video in videos):
        for label in _classes(videos):
            of_class = [video for video in videos if video.label == label]
            usable = [video.source.name for video in of_class if video.events or label == "Normal"]
            count = min(max(round(_TEST * len(of_class)), 1), len(usable), len(of_class) - 1)
            # By the hash of the name: a choice that has nothing to do with what is in a video.
            chosen |= set(sorted(usable, key=digest)[:count])
    for normal in (True, False):
        of_kind = {video.source.name for video in videos if (video.label == "Normal") == normal}
        if not of_kind & chosen or not of_kind - chosen:
            which = "training" if of_kind & chosen else "test"
            hint = "" if normal else "; those of the test need start,end"
            raise UserError(f"{table}: no {'normal' if normal else 'abnormal'} video for the {which}{hint}")
    for video in videos:
        if video.source.name in chosen and video.label != "Normal" and not video.events:
            name = video.source.name
            raise UserError(f"{video.where}: {name} is of the test and has no event; give start,end in seconds")
    return chosen


def _fps(source: Source) -> float:
    with opened(source.path) as video:
        fps = video.fps
    if not fps:
        raise UserError(f"{source.path}: does not say its frames per second, so events in seconds cannot be placed")
    return fps


def _events(video: _Video, rates: Mapping[str, float]) -> str:
    fps = rates[video.source.name]
    frames = [(round(start * fps), round(end * fps)) for start, end in sorted(video.events)]
    bounds = [f"{start} {max(end, start + 1)}" for start, end in frames]
    return " ".join([video.source.path.name, _word(video.label), *(bounds or ["-1 -1"])])


def _word(label: str) -> str:
    """A label as a class is named in lists, which end a word at a space."""
    return "-".join(label.split())
