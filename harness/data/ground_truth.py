"""Ground truth of a test set from its annotations, by the frame rule of a card's protocol."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.annotations import Annotation, Annotations
from harness.data.card import DatasetCard
from harness.data.lists import find_input, frame_number, read_table
from harness.data.spelling import video_of
from harness.errors import UserError
from harness.records.truth import Event, GroundTruth, VideoTruth


@dataclass(frozen=True)
class Tested:
    """What is known of a test video: its classes, its snippets and frames if counted, and where it is listed."""

    labels: tuple[int, ...]
    snippets: int | None
    counted: int | None
    where: str


@dataclass(frozen=True)
class Count:
    """Frames of one video and where they are counted (`file:line`)."""

    frames: int
    where: str


@dataclass(frozen=True)
class Oddities:
    """What deserves a look in annotations, a line each: events `cut` at the end of their video, and the `rest`."""

    cut: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.cut, *self.rest)

    @property
    def summary(self) -> tuple[str, ...]:
        """The same, with a single line for all events that are cut: real annotations have many of them."""
        if len(self.cut) < 2:
            return self.lines
        count = f"{len(self.cut):,} events end beyond their videos and are cut at the end"
        return (f"{count}, the first: {self.cut[0].removesuffix('; cut')}", *self.rest)


def frame_counts(card: DatasetCard, root: Path) -> dict[str, Count]:
    """Return the frames of every video that the card's file of frame counts names; none if the card has no such file.

    Raises:
        UserError: the file is missing, a count is no positive whole number, or a video has two.
    """
    return _counts(find_input(root, card.frame_counts)) if card.frame_counts else {}


def extracted_counts(card: DatasetCard, extraction: Path) -> dict[str, Count]:
    """Return the frames of every video as they were decoded, where the card asks for counts; raises UserError."""
    return _counts(extraction / "frame_counts.csv") if card.frame_counts else {}


def _counts(path: Path) -> dict[str, Count]:
    counts: dict[str, Count] = {}
    for where, row in read_table(path, ("video", "frames")):
        if not row["frames"].isdecimal() or int(row["frames"]) == 0:
            raise UserError(f"{where}: frames {row['frames']!r} is not a positive whole number")
        video, frames = video_of(row["video"]), frame_number(where, row["frames"])
        if counts.setdefault(video, Count(frames, where)).frames != frames:
            raise UserError(f"{where}: video {video} has {frames} frames, an earlier line says {counts[video].frames}")
    return counts


def build_truth(
    card: DatasetCard,
    videos: Mapping[str, Tested],
    annotations: Annotations,
    excluded: tuple[str, ...],
    featured: bool = True,
) -> tuple[GroundTruth, Oddities]:
    """Return the ground truth of `videos`, in their order, and what is odd in it.

    The card's totals are those of the videos with features. Where it is others (`featured` is False), all of them with
    other totals are odd, and some of them are not compared.

    Raises:
        UserError: an abnormal video has no event, frame counts disagree, or totals are not those of the card.
    """
    truths: dict[str, VideoTruth] = {}
    cut: list[str] = []
    remarks: list[str] = []
    if lacking := unannotated({name: video.labels for name, video in videos.items()}, annotations):
        raise UserError(f"{videos[lacking[0]].where}: {_no_event(card, lacking, annotations)}")
    for name, video in videos.items():
        annotation = annotations.of.get(name)
        events = annotation.events if annotation else ()
        frames = frames_of(card, name, video, annotation)
        if annotation is not None:
            events, beyond = _placed(card, name, frames, annotation)
            cut += beyond
            remarks += [f"{annotation.where}: {annotation.remark}"] if annotation.remark else []
        truths[name] = VideoTruth(frames, video.labels, events)
    ground = GroundTruth(
        dataset=card.name,
        classes=card.class_names,
        alignment=card.alignment,
        videos=truths,
        primary=card.protocol.primary,
        map_variant=card.protocol.map,
        excluded=excluded,
    )
    totals = _odd_totals(card, ground) if featured or not excluded else []
    if totals and featured:
        raise UserError(totals[0])
    return ground, Oddities(tuple(cut), (*remarks, *totals))


def unannotated(labels: Mapping[str, tuple[int, ...]], annotations: Annotations) -> list[str]:
    """Return the abnormal videos among those of `labels` that have no annotated event: no metric can use them."""
    return [
        name
        for name, classes in labels.items()
        if any(classes) and not (name in annotations.of and annotations.of[name].events)
    ]


def _no_event(card: DatasetCard, lacking: list[str], annotations: Annotations) -> str:
    """What is wrong with abnormal test videos without events, and what helps."""
    if annotations.path is None:
        return (
            f"{len(lacking)} abnormal test videos, such as {lacking[0]}, have no annotated event, and frame metrics "
            f"need them: name the annotation file in the card of {card.name} (`annotations:`)"
        )
    near = difflib.get_close_matches(lacking[0], annotations.unlisted, n=1, cutoff=0.8)
    hint = f" (it has {near[0]!r}, which no list has)" if near else ""
    more = f", and {len(lacking) - 1} others have none" if len(lacking) > 1 else ""
    return (
        f"abnormal test video {lacking[0]} has no annotated event in {annotations.path}{hint}{more}; frame metrics "
        "need them: complete the file, or leave such videos out with `harness data import --partial`"
    )


def frames_of(card: DatasetCard, name: str, video: Tested, annotation: Annotation | None) -> int:
    """Return how many frames a test video has by the card's rule, see `ProtocolCard.rule`.

    Raises:
        UserError: the rule needs a frame count and there is none, or two counts disagree.
    """
    stride, rule = card.alignment.stride, card.frame_rule
    annotated = annotation.frames if annotation else None
    counted = annotated if video.counted is None else video.counted
    where = annotation.where if annotation else video.where
    if annotated not in (None, counted):
        raise UserError(f"{where}: {annotated} frames, {card.frame_counts} says {counted}")
    if (
        counted is not None
        and video.snippets is not None
        and card.alignment.kind == "stride"
        and abs(video.snippets * stride - counted) > stride
    ):
        raise UserError(f"{where}: {counted} frames of {name} do not fit its {video.snippets} snippets of {stride}")
    if rule == "snippets":
        if video.snippets is None:
            raise UserError(f"{where}: no number of snippets of {name}, which the frame rule {rule!r} needs")
        return video.snippets * stride
    if counted is None:
        raise UserError(f"{where}: no frame count of {name}; {_counts_needed(card)}")
    if rule == "exact":
        return counted
    return counted // stride * stride if rule == "whole" else -(-counted // stride) * stride


def _counts_needed(card: DatasetCard) -> str:
    """What of the card needs the frames of a video, and how they are given."""
    if card.frame_counts:
        return (
            f"{card.frame_counts} (the card's `frame_counts`) needs a line video,frames for every video of both lists"
        )
    rule = card.protocol.rule
    why = f"protocol.rule `{rule}`" if rule else f"alignment `{card.alignment.kind}`"
    return (
        f"{why} needs `frame_counts: FILE.csv` at the top level of the card, a file under --root with the header "
        "video,frames and a line for every video of both lists"
    )


def _placed(card: DatasetCard, name: str, frames: int, annotation: Annotation) -> tuple[tuple[Event, ...], list[str]]:
    """Check events against the video's end, with a line for each that reaches beyond.

    It is kept as annotated: scoring cuts it there.
    """
    assert card.annotations is not None
    masks = card.annotations.format == "frame-masks"
    # Without exact counts a video may have lost up to one snippet, when features were extracted or by the rule.
    slack = 0 if card.frame_rule == "exact" else card.alignment.stride
    events = []
    beyond = []
    for event in annotation.events:
        if event.start >= frames + slack:
            raise UserError(f"{annotation.where}: event starts at frame {event.start}, {name} ends at {frames}")
        if masks and event.end == annotation.frames:
            # Where a mask ends within a snippet its last label goes on, as in the community's vectors.
            event = Event(event.start, max(event.end, frames), event.label)
        elif event.end > frames:
            line = f"event of {name} ends at frame {event.end}, beyond the video's {frames}; cut"
            beyond.append(f"{annotation.where}: {line}")
        events.append(event)
    return tuple(events), beyond


def _odd_totals(card: DatasetCard, truth: GroundTruth) -> list[str]:
    if truth.excluded and card.base_name != card.name:
        return []  # a variant's totals are those of all videos
    positives = sum(int(video.mask().sum()) for video in truth.videos.values())
    return [
        f"{card.name}: {found:,} test {what}, the card expects {expected:,}; check annotations"
        for what, found, expected in (
            ("frames", truth.frames, card.protocol.frames),
            ("positive frames", positives, card.protocol.positives),
        )
        if expected and found != expected
    ]
