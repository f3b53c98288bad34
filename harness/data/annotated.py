"""The test set of a card from its annotation files alone: scoring needs no features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.annotations import Annotations, read_annotations
from harness.data.bank import SplitName
from harness.data.card import DatasetCard
from harness.data.card_parts import FeatureCard
from harness.data.feature_files import split_name
from harness.data.ground_truth import Tested, build_truth, frame_counts
from harness.data.lists import ListedFile, find_input, read_list, read_text
from harness.data.sources import labels_of
from harness.data.spelling import is_video_file, split_line, video_of
from harness.errors import UserError
from harness.records.truth import GroundTruth


@dataclass(frozen=True)
class AnnotatedSet:
    """Test videos in list order, and their annotations."""

    card: DatasetCard
    videos: Mapping[str, Tested]
    annotations: Annotations

    @property
    def needs_snippets(self) -> bool:
        """Whether a video has as many frames as its snippets stand for, because nothing counts them."""
        return self.card.frame_rule == "snippets"

    def may_be_frames(self, rows: Mapping[str, int]) -> bool:
        """Whether every event lies within as many frames as its video has rows, so that rows could be frames."""
        slack = self.card.alignment.stride
        annotated = {name: self.annotations.of[name] for name in rows if name in self.annotations.of}
        return all(
            event.end <= rows[name] + slack for name, annotation in annotated.items() for event in annotation.events
        )

    def truth(self, snippets: Mapping[str, int | None]) -> tuple[GroundTruth, tuple[str, ...]]:
        """Return the ground truth of the videos named in `snippets` (None: not known), and what is odd in it.

        The other test videos are its excluded ones.

        Raises:
            UserError: as `build_truth`.
        """
        chosen = {
            name: replace(video, snippets=snippets[name]) for name, video in self.videos.items() if name in snippets
        }
        left_out = tuple(name for name in self.videos if name not in snippets)
        truth, odd = build_truth(self.card, chosen, self.annotations, left_out, featured=False)
        return truth, odd.lines


def read_annotated(card: DatasetCard, features: str | None, root: Path) -> AnnotatedSet:
    """Return the test set of a card as the files under `root` describe it.

    Its videos are those of the test list (of one feature set, or of the first whose list is there), or of an annotation
    file that names all of them, normal ones too.

    Raises:
        UserError: a file is missing or wrong, or the number of videos is not the card's.
    """
    if not root.is_dir():
        raise UserError(f"--root {root}: no such directory")
    if card.annotations is None:
        raise UserError(f"dataset {card.name}: its card names no annotation file; score without --root")
    path = find_input(root, card.annotations.path)
    counts = frame_counts(card, root)
    expected = card.splits["test"]
    test = _listed(card, features, root, "test")
    if not test and card.annotations.format == "ucf":
        test = _annotated(card, path)
    if not test:
        raise UserError(f"{root}: no {expected.list} here (nor in list/ or lists/), which names the test videos")
    if len(test) != expected.videos:
        where = list(test.values())[-1].where
        raise UserError(
            f"{where}: {len(test)} videos, the card of {card.name} expects {expected.videos} in test; if the list is "
            "right, the card's `splits.test.videos` is wrong"
        )
    # Some annotation files are of training videos as well.
    listed = _listed(card, features, root, "train") | test
    annotations = read_annotations(card, path, {name: video.labels for name, video in listed.items()})
    counted = {name: counts[name].frames if name in counts else None for name in test}
    videos = {name: replace(video, counted=counted[name]) for name, video in test.items()}
    return AnnotatedSet(card, videos, annotations)


def _listed(card: DatasetCard, features: str | None, root: Path, split: SplitName) -> dict[str, Tested]:
    """Videos of a split by its list; none where no list is there."""
    for name in [card.feature_set(features)[0]] if features else card.features:
        spec = card.features[name]
        try:
            path = find_input(root, *spec.lists.get(split, (card.splits[split].list,)))
        except UserError:
            continue
        found: dict[str, Tested] = {}
        for listed in read_list(path):
            video = _video(listed, spec)
            found.setdefault(video, Tested(labels_of(card, listed, video), None, None, listed.where))
        return found
    return {}


def _video(listed: ListedFile, spec: FeatureCard) -> str:
    if is_video_file(listed.name):
        return video_of(listed.name)
    try:
        return split_name(listed.path, spec)[0]
    except UserError as error:
        raise UserError(f"{listed.where}: {error}") from error


def _annotated(card: DatasetCard, path: Path) -> dict[str, Tested]:
    """Videos of an annotation file of the form `ucf`, which says the class of each."""
    found: dict[str, Tested] = {}
    for number, line in enumerate(read_text(path), start=1):
        if line.strip():
            video, fields = split_line(line)
            # An even number of fields has the number of frames before the class.
            word = fields[1 - len(fields) % 2] if len(fields) > 1 else ""
            listed = ListedFile(f"{path}:{number}", video, word)
            found[video] = Tested(labels_of(card, listed, video), None, None, listed.where)
    return found
