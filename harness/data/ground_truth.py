"""Ground truth of a test set from its annotations, by the frame rule of a card's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.data.annotations import Annotation
from harness.data.card import DatasetCard
from harness.errors import UserError
from harness.truth import Event, GroundTruth, VideoTruth


@dataclass(frozen=True)
class Tested:
    """What is known of a test video: its classes, snippets, frames if counted, and where it is listed."""

    labels: tuple[int, ...]
    snippets: int
    counted: int | None
    where: str


def build_truth(
    card: DatasetCard, videos: Mapping[str, Tested], annotations: Mapping[str, Annotation], excluded: tuple[str, ...]
) -> tuple[GroundTruth, list[str]]:
    """Return the ground truth of `videos`, in their order, and a line for each event that is odd, such as one
    that reaches beyond its video.

    Raises:
        UserError: an abnormal video has no event, frame counts disagree, or totals are not those of the card.
    """
    truths: dict[str, VideoTruth] = {}
    warnings: list[str] = []
    for name, video in videos.items():
        annotation = annotations.get(name)
        events = annotation.events if annotation else ()
        if not events and any(video.labels):
            raise UserError(f"{video.where}: abnormal test video {name} has no annotated event")
        frames = frames_of(card, name, video, annotation)
        if annotation is not None:
            events, beyond = _placed(card, name, frames, annotation)
            warnings += beyond
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
    _check_totals(card, ground)
    return ground, warnings


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
    if counted is not None and card.alignment.kind == "stride" and abs(video.snippets * stride - counted) > stride:
        raise UserError(f"{where}: {counted} frames of {name} do not fit its {video.snippets} snippets of {stride}")
    if rule == "snippets":
        return video.snippets * stride
    if counted is None:
        raise UserError(f"{where}: no frame count of {name}, which the frame rule {rule!r} needs")
    if rule == "exact":
        return counted
    return counted // stride * stride if rule == "whole" else -(-counted // stride) * stride


def _placed(card: DatasetCard, name: str, frames: int, annotation: Annotation) -> tuple[tuple[Event, ...], list[str]]:
    """Check events against the video's end. What reaches beyond is kept as annotated: scoring cuts it there."""
    assert card.annotations is not None
    masks = card.annotations.format == "frame-masks"
    # Without exact counts a video may have lost up to one snippet, when features were extracted or by the rule.
    slack = 0 if card.frame_rule == "exact" else card.alignment.stride
    events = []
    warnings = [f"{annotation.where}: {annotation.remark}"] if annotation.remark else []
    for event in annotation.events:
        if event.start >= frames + slack:
            raise UserError(f"{annotation.where}: event starts at frame {event.start}, {name} ends at {frames}")
        if masks and event.end == annotation.frames:
            # Where a mask ends within a snippet its last label goes on, as in the community's vectors.
            event = Event(event.start, max(event.end, frames), event.label)
        elif event.end > frames:
            line = f"event of {name} ends at frame {event.end}, beyond the video's {frames}; cut"
            warnings.append(f"{annotation.where}: {line}")
        events.append(event)
    return tuple(events), warnings


def _check_totals(card: DatasetCard, truth: GroundTruth) -> None:
    if truth.excluded and card.base_name != card.name:
        return  # a variant's totals are those of all videos
    positives = sum(int(video.mask().sum()) for video in truth.videos.values())
    for what, found, expected in (
        ("frames", truth.frames, card.protocol.frames),
        ("positive frames", positives, card.protocol.positives),
    ):
        if expected and found != expected:
            raise UserError(f"{card.name}: {found:,} test {what}, the card expects {expected:,}; check annotations")
