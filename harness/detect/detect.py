"""Find events in videos: extract as the checkpoint's features were made, score, and write tables and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.detect.detection import Detection, detect_in
from harness.detect.events import Threshold
from harness.detect.page import Shown, highest, write_pages
from harness.detect.pictures import playable, show_video
from harness.detect.scorer import Say, Scorer, check_width
from harness.detect.tables import write_tables
from harness.errors import UserError
from harness.records.extraction import Recipe
from harness.records.protocol import Protocol
from harness.runs.checkpoint_loading import check_recipe
from harness.video.extract import Setup, Tick, extract, recipe_of
from harness.video.extraction import Extraction, is_extraction
from harness.video.feature_input import FeatureInput
from harness.video.protocols import find_protocol
from harness.video.sources import Source

ANYWAY = "--any-features"
# Names of what a call writes into its directory, as patterns.
_OWN = (
    *("video-[0-9][0-9][0-9][0-9].html", "video-[0-9][0-9][0-9][0-9].mp4", "video-[0-9][0-9][0-9][0-9]-scores.mp4"),
    *("scores.csv", "scores.parquet", "events.csv", "events.parquet", "detections.json", "index.html"),
)


@dataclass(frozen=True)
class Found:
    """What was found: detections, the threshold of their events, files written, videos left out, and its origin."""

    detections: list[Detection]
    threshold: Threshold
    written: list[Path]
    left_out: dict[str, str]
    origin: dict[str, str]


def protocol_for(scorer: Scorer, name: str | None) -> Protocol:
    """Return the protocol that was asked for, else that of the checkpoint's features.

    Raises:
        UserError: neither is known.
    """
    if name is not None:
        return find_protocol(name)
    if scorer.header.extraction is None:
        raise UserError(f"{scorer.label}: does not say how its features were made; name their protocol with --protocol")
    return scorer.header.extraction.protocol


def check_fits(scorer: Scorer, protocol: Protocol, setup: Setup, anyway: bool, say: Say) -> Recipe:
    """Return how the features will be made; say so where nobody knows whether the checkpoint was trained on such.

    Raises:
        UserError: it was trained on others.
    """
    recipe = recipe_of(protocol, setup)
    check_width(recipe.dim, scorer.header.dim, f"image tower {recipe.tower}", scorer.label)
    if not anyway:
        check_recipe(scorer.header, recipe, scorer.label, "this extraction", ANYWAY)
    if scorer.header.extraction is None:
        say(f"warning: {scorer.label} does not say how the features of its training were made; check that it was so")
    return recipe


def detect(
    videos: Sequence[Source],
    scorer: Scorer,
    protocol: Protocol,
    setup: Setup,
    threshold: Threshold,
    out: Path,
    formats: Sequence[str],
    say: Say,
    progress: Callable[[str], AbstractContextManager[Tick]],
    annotate: bool = False,
    anyway: bool = False,
) -> Found:
    """Find events in videos and write tables, pages and what they show into `out`.

    Features go to `out/features`, where an interrupted extraction is resumed. `annotate` also writes each video with
    its scores drawn in. `anyway` takes features of another kind than those of the training.

    What an earlier call wrote there is replaced, once there is something to put in its place.

    Raises:
        UserError: the features do not fit the checkpoint, no video gives any, or a video lies in `out` itself.
    """
    recipe = check_fits(scorer, protocol, setup, anyway, say)
    for source in videos:
        if source.path.resolve().parent == out.resolve():
            raise UserError(f"--to {out}: holds {source.path.name}, which is to be read; choose another directory")
    again = is_extraction(out / "features")
    report = extract(videos, protocol, setup, out / "features", say, progress)
    extraction = Extraction(report.directory)
    detections = []
    for source in videos:
        if source.name not in report.left_out:
            facts, rows = extraction.record(source.name).facts, extraction.features(source.name)
            detections.append(detect_in(scorer, source.name, rows, threshold.value, facts, source.path))
    if again:
        for left in (path for pattern in _OWN for path in out.glob(pattern)):
            left.unlink()
    written = write_tables(out, detections, threshold, origin_of(scorer, recipe), formats)
    top = highest(detections, threshold)
    shown: list[Shown] = []
    with progress("pages") as tick:
        for number, found in enumerate(detections, start=1):
            shown.append(_shown(found, out, number, annotate, top, say))
            tick(number, len(detections))
    written.append(write_pages(out, shown, threshold, _facts(scorer, recipe)))
    return Found(detections, threshold, written, report.left_out, origin_of(scorer, recipe))


def predict_features(
    features: FeatureInput, scorer: Scorer, threshold: Threshold, anyway: bool = False
) -> Iterator[Detection]:
    """Yield the detections in features that are at hand, video by video; raises UserError where they do not fit."""
    if not anyway:
        check_recipe(scorer.header, features.recipe, scorer.label, str(features.path), ANYWAY)
    for video in features.videos():
        yield detect_in(scorer, video.name, video.features, threshold.value, video.facts)


def _shown(found: Detection, out: Path, number: int, annotate: bool, top: float, say: Say) -> Shown:
    """A detection with its pictures; where a video cannot be written, the page does without."""
    name, path = f"video-{number:04d}", found.path
    assert path is not None
    preview, annotated = out / f"{name}.mp4", out / f"{name}-scores.mp4" if annotate else None
    try:
        as_it_is = playable(path)
        thumbs = show_video(found, path, None if as_it_is else preview, annotated, top)
    except (UserError, OSError) as error:
        say(f"{found.video}: no pictures on its page ({error})")
        return Shown(found, {}, note=f"No pictures: {error}")
    return Shown(found, thumbs, path.resolve() if as_it_is else preview, annotated)


def origin_of(scorer: Scorer, recipe: Recipe | None) -> dict[str, str]:
    """Return what scores come from, for a document: method, checkpoint, and how the features were made."""
    return {
        "method": scorer.header.method,
        "checkpoint": scorer.label,
        "features": recipe.words if recipe else "not known how they were made",
    }


def _facts(scorer: Scorer, recipe: Recipe) -> dict[str, str]:
    return {
        "Method": scorer.method.card.title,
        "Checkpoint": scorer.label,
        "Features": recipe.words,
        "Text tower": scorer.method.task.text.name if scorer.method.task.text else "none",
    }
