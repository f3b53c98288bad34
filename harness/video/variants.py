"""Of which kind are published features: every way of making them tried on one video whose file is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.records.protocol import Frames, Normalisation, Protocol
from harness.video.agreement import NEAR, SAME, Agreement, agreement
from harness.video.decode import opened
from harness.video.extract import Setup, computing
from harness.video.protocols import find_protocol
from harness.video.rows import rows_of

# Pictures that the field makes, by the protocol that has them.
_PICTURES = {"340 x 256 squeezed, crops": "vadclip", "the whole picture as CLIP cuts it": "whole"}
_TAKES = {"all": "the mean of", "first": "the first of", "middle": "the middle one of"}
_HALF = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Variant:
    """One way of making rows, and how the rows agree with the given ones."""

    picture: str
    normalised: str
    take: str
    tail: str
    found: Agreement

    def __str__(self) -> str:
        crops = ", ".join(map(str, self.found.places))
        return (
            f"{self.take} snippet's frames, {self.picture} ({crops}), {self.normalised}, last snippet {self.tail}: "
            f"cosine {self.found.mean:.4f}, norms x{self.found.norms:.3f}"
        )


def try_variants(path: Path, theirs: NDArray[Any], protocol: Protocol, setup: Setup) -> list[Variant]:
    """Return all variants for one video, those first that agree best with the given rows `[T, C, D]`.

    The protocol gives the snippet and its own normalisation. Each kind of picture goes through the tower once; which
    frames make a row is tried on what comes out.

    Raises:
        UserError: the video cannot be read, or the tower gives rows of another width.
    """
    if theirs.shape[2] != setup.tower.dim:
        raise UserError(
            f"{path}: the given features are {theirs.shape[2]}-d, the image tower {setup.tower.name} gives "
            f"{setup.tower.dim}-d; name theirs with --image-tower"
        )
    tried = []
    with computing(setup):
        for picture, name in _PICTURES.items():
            base = find_protocol(name)
            for how, rule in (("normalised as the protocol", protocol.normalise), ("normalised to -1 .. 1", _HALF)):
                single = base.model_copy(update={"frames": Frames(snippet=1), "normalise": rule})
                with opened(path) as video:
                    rows = rows_of(video, single, setup.tower, setup.pictures)
                for take, tail, made in _made(rows, protocol.frames.snippet):
                    if len(made):
                        tried.append(Variant(picture, how, take, tail, agreement(path.stem, made, theirs)))
    return sorted(
        tried, key=lambda variant: (-round(variant.found.mean, 6), abs(variant.found.ours - variant.found.theirs))
    )


def best_words(tried: list[Variant], protocol: Protocol) -> str:
    """Return in words which variant fits best, and how it differs from the protocol."""
    best = tried[0]
    equal = best.found.mean > SAME
    own = f"{_TAKES.get(protocol.frames.take, protocol.frames.take)} a"
    changes = []
    if best.take != own:
        changes.append(f"{best.take} snippet's frames instead of {own.removesuffix(' a')} them")
    if best.picture != _picture_of(protocol):
        changes.append(best.picture)
    if best.normalised != "normalised as the protocol":
        changes.append(best.normalised)
    if best.tail != protocol.frames.tail and best.found.ours == best.found.theirs:
        changes.append(f"a last snippet that is not full {best.tail}")
    same = "same pictures" if best.picture == _picture_of(protocol) else "other pictures"
    what = f"{same}, {', '.join(changes)}" if changes else f"as {protocol.name} makes them"
    length = (
        ""
        if best.found.ours == best.found.theirs
        else f"; {best.found.theirs} snippets where this gives {best.found.ours}"
    )
    if equal:
        return f"they were made so: {what}{length}"
    if best.found.mean > NEAR:
        return f"nearest, but not equal (cosine {best.found.mean:.4f}): {what}{length}"
    return f"none fits; the nearest (cosine {best.found.mean:.4f}): {what}{length}; another tower, or other video files"


def _picture_of(protocol: Protocol) -> str:
    return next(
        (words for words, name in _PICTURES.items() if find_protocol(name).picture == protocol.picture), protocol.name
    )


def _made(rows: NDArray[np.float32], snippet: int) -> Iterator[tuple[str, str, NDArray[np.float32]]]:
    """Rows `[T, C, D]` from rows of every frame, by each rule; with the rule in words, and what becomes of the tail."""
    starts = np.arange(0, len(rows), snippet)
    full = len(rows) // snippet
    for take, words in _TAKES.items():
        parts = [rows[start : start + snippet] for start in starts]
        if take == "all":
            made = [part.mean(axis=0) for part in parts]
        elif take == "first":
            made = [part[0] for part in parts]
        else:
            made = [part[snippet // 2] if len(part) > snippet // 2 else part[len(part) // 2] for part in parts]
        stacked = np.stack(made) if made else rows[:0]
        yield f"{words} a", "kept", stacked
        if full < len(starts):
            yield f"{words} a", "dropped", stacked[:full]
