"""Feature sets that were extracted here: what a card says of them, and which of their files a list's rows mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.data.card import DatasetCard, read_card
from harness.data.card_parts import FeatureCard
from harness.data.feature_files import FeatureFile
from harness.data.lists import ListedFile, find_input, read_list
from harness.data.spelling import last_part, video_of, without
from harness.errors import UserError
from harness.io.atomic import read_json
from harness.paths import banks_dir
from harness.records.extraction import Recipe

# What the community puts behind a video's name: the crop, and the kind of features.
_CROP = re.compile(r"__([0-9]{1,2})$")
_FEATURES = (".npy", ".txt")


class ExtractedFiles:
    """The files of an extraction, one for each video with all its crops, by the rows of lists made for others."""

    def __init__(self, folder: Path, spec: FeatureCard) -> None:
        """`folder` holds files NAME.npy of the feature set `spec`."""
        self.root = folder
        self._spec = spec

    def rows(self, listed: list[ListedFile]) -> list[ListedFile]:
        """Return the rows that count: where the files hold one crop, the first row of each video."""
        if self._spec.crops > 1:
            return listed
        return list({listed_video(row)[0]: row for row in reversed(listed)}.values())[::-1]

    def named(self, listed: ListedFile) -> list[FeatureFile]:
        """Return the file of the video that a row names, with the crop that it names if the files hold several."""
        video, crop = listed_video(listed)
        path = self.root / f"{video}.npy"
        return [FeatureFile(path, video, crop or 0 if self._spec.crops > 1 else 0, path.is_file())]

    def crops(self, listed: ListedFile) -> tuple[int, ...]:
        """Return the crops that a row means: the one that it names if the files hold several, else all of them."""
        crop = listed_video(listed)[1]
        return tuple(range(self._spec.crops)) if crop is None or self._spec.crops == 1 else (crop,)

    def audio(self, video: str, where: str) -> None:
        """Return None: extraction hears nothing."""

    def audio_name(self, video: str) -> str:
        """Return the name of a file of audio features, which there is not."""
        return f"{video}{self._spec.audio}.npy"


def listed_video(listed: ListedFile) -> tuple[str, int | None]:
    """Return the video that a row of a list names, whatever kind of file it is, and the crop if it names one."""
    name = last_part(listed.path)
    for extension in _FEATURES:
        name = without(name, extension)
    name = video_of(name)
    match = _CROP.search(name)
    return (name[: match.start()], int(match[1])) if match else (name, None)


def listed_videos(card: DatasetCard, root: Path) -> dict[str, str]:
    """Return the videos of both lists of a card, in order, each with the place of its first row (`file:line`).

    Raises:
        UserError: a list is missing or cannot be read.
    """
    found: dict[str, str] = {}
    for split in card.splits.values():
        for row in read_list(find_input(root, split.list)):
            found.setdefault(listed_video(row)[0], row.where)
    return found


def extracted_facts(extraction: Path, videos: Iterable[str]) -> dict[str, Any]:
    """Return what the directory of an extraction says of the files of videos, by name; raises UserError."""
    found = {}
    for video in videos:
        document = read_json(extraction / "videos" / f"{video}.json", "extract it again (`harness extract`)")
        found[video] = document.get("facts") if isinstance(document, dict) else None
    return found


def with_extraction(card: DatasetCard, recipe: Recipe, name: str | None = None) -> tuple[DatasetCard, str]:
    """Return the card with the feature set of a recipe, and the name of the set.

    Without a `name` it is that of the protocol and the recipe's hash.

    Raises:
        UserError: the card has another set of that name, or its snippets have another length.
    """
    name = name or f"{recipe.protocol.name}-{recipe.digest[:6]}"
    crops = len(recipe.protocol.crops.order)
    spec = FeatureCard(dim=recipe.dim, dtype=recipe.protocol.dtype, crops=crops, stacked=crops > 1, extraction=recipe)
    if card.features.get(name, spec) != spec:
        raise UserError(f"dataset {card.name} has another feature set {name}; give another name with --features")
    snippet = recipe.protocol.frames.snippet
    if card.alignment.kind == "stride" and card.alignment.stride != snippet:
        raise UserError(
            f"protocol {recipe.protocol.name} makes a row of {snippet} frames, the card of {card.name} has snippets of "
            f"{card.alignment.stride} (`alignment.stride`)"
        )
    return card.model_copy(update={"features": {**card.features, name: spec}}), name


def with_extracted(card: DatasetCard) -> DatasetCard:
    """Return the card with the feature sets that were extracted and imported for it, behind its own."""
    sets = dict(_imported(card))
    return card.model_copy(update={"features": {**card.features, **sets}}) if sets else card


def _imported(card: DatasetCard) -> Iterator[tuple[str, FeatureCard]]:
    for path in sorted(banks_dir().glob(f"{card.name}/[!.]*/card.yaml")):
        name = path.parent.name
        if name in card.features:
            continue
        try:
            spec = read_card(path).features.get(name)
        except UserError:  # a damaged bank is said where it is opened
            continue
        if spec is not None and spec.extraction is not None:
            yield name, spec
