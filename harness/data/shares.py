"""How much of a data set a partial import has, in numbers and in the words that every result carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.data.card import DatasetCard

_Count = Annotated[int, Field(ge=0, le=1 << 40)]
_WORDS: dict[Literal["train", "test"], str] = {"train": "training", "test": "test"}


class Share(BaseModel):
    """What is there of one split: `videos` of `all_videos`, `files` of `all_files` that its list names.

    A video without snippets is there. `classes`: videos there and in all, by class. `missing` names the listed videos
    of which nothing is there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    videos: _Count
    all_videos: _Count
    files: _Count
    all_files: _Count
    classes: dict[str, tuple[_Count, _Count]] = {}
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing lacks."""
        return self.videos == self.all_videos and self.files == self.all_files


Shares = Mapping[Literal["train", "test"], Share]


def share_of(
    card: DatasetCard,
    split: Literal["train", "test"],
    labels: Mapping[str, tuple[int, ...]],
    there: Iterable[str],
    files: tuple[int, int],
) -> Share:
    """Return the share of a split: `labels` are those of its listed videos, `files` counts those there and listed."""
    expected, own = card.splits[split], set(there)
    all_classes = Counter(card.class_names[label] for classes in labels.values() for label in classes)
    counts = Counter(card.class_names[label] for video in own for label in labels[video])
    return Share(
        videos=len(own),
        all_videos=max(expected.videos, len(labels)),
        files=files[0],
        all_files=files[1],
        classes={
            name: (counts[name], expected.classes.get(name, all_classes[name]))
            for name in card.class_names
            if name in expected.classes or all_classes[name]
        },
        missing=tuple(video for video in labels if video not in own),
    )


def _in_order(shares: Shares) -> list[tuple[str, Share]]:
    return [(words, shares[split]) for split, words in _WORDS.items() if split in shares]


def label(shares: Shares) -> str:
    """Return what results on a partial import say of it, such as `184 of 1,610 training videos`; "" if it is whole."""
    parts = []
    for split, share in _in_order(shares):
        if share.videos < share.all_videos:
            parts.append(f"{share.videos:,} of {share.all_videos:,} {split} videos")
        elif not share.whole:
            parts.append(f"{share.files:,} of {share.all_files:,} {split} files")
    return ", ".join(parts)


def lines(shares: Shares) -> list[str]:
    """Return what lacks in each split and class, a line for each split."""
    found = []
    for split, share in _in_order(shares):
        if share.whole:
            continue
        lacking = [
            f"{name} {every - there} of {every}" for name, (there, every) in share.classes.items() if there < every
        ]
        missing = share.all_files - share.files
        parts = [f"{share.all_videos - share.videos:,} of {share.all_videos:,} videos"]
        parts += [f"{missing:,} of {share.all_files:,} listed files"] if missing else []
        classes = f" (by class: {', '.join(lacking)})" if lacking else ""
        found.append(f"missing {split} data: {', '.join(parts)}{classes}")
    return found
