"""A data set from its videos: the videos that a card's lists name, extracted and imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from harness.data.card import DatasetCard
from harness.data.extracted import listed_videos, with_extraction
from harness.data.spelling import composed, listed_as
from harness.errors import UserError
from harness.paths import extractions_dir
from harness.records.protocol import Protocol
from harness.video.extract import Report, Say, Setup, Tick, extract, recipe_of
from harness.video.sources import Source, find_videos


def extract_listed(
    card: DatasetCard,
    videos: Sequence[str],
    root: Path,
    protocol: Protocol,
    setup: Setup,
    say: Say,
    progress: Callable[[str], AbstractContextManager[Tick]],
    features: str | None = None,
    partial: bool = False,
    crop_files: bool = False,
) -> Report:
    """Extract the videos that the lists of a card below `root` name, found among `videos` (files, directories).

    They go below HARNESS_HOME, where an interrupted extraction is resumed.

    Raises:
        UserError: a list is missing, or videos are missing and it is not `partial`.
    """
    recipe = recipe_of(protocol, setup)
    _, name = with_extraction(card, recipe, features)
    wanted = listed_videos(card, root)
    there = {composed(source.name): source for source in find_videos(videos)}
    found: list[Source] = []
    lacking: list[str] = []
    for video in wanted:
        spelled = listed_as(video, there)
        if spelled is None:
            lacking.append(video)
        else:
            found.append(Source(video, there[spelled].path))
    if lacking and (not partial or not found):
        some = ", ".join(lacking[:3]) + (", ..." if lacking[3:] else "")
        raise UserError(
            f"{wanted[lacking[0]]}: {len(lacking):,} of {len(wanted):,} listed videos are not under "
            f"{', '.join(videos)} ({some}); check --videos, or `harness data import --partial` takes what is there"
        )
    directory = extractions_dir() / card.name / name
    return extract(found, protocol, setup, directory, say, progress, crop_files)


def lists_of(card: str, annotations: Path | None) -> Path:
    """Return the directory of a card's lists: the one that was given, else that of its YAML file.

    Raises:
        UserError: neither is there, since the card is given by name.
    """
    if annotations is not None:
        return annotations
    if not card.endswith((".yaml", ".yml")):
        raise UserError(f"{card}: needs --annotations DIR with its lists, or the path of its YAML file beside them")
    return Path(card).parent
