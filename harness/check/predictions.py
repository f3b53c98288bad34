"""Checks of predictions: their form, their range, and what they may depend on."""

from __future__ import annotations

import time

import torch

from harness.check.process import peak_growth
from harness.check.subject import Subject
from harness.check.verdict import difference, require
from harness.plugin import contract

# Largest difference relative to the largest value; what another order of the same sums may give.
ROUNDING = 1e-5


def shapes(subject: Subject) -> str:
    """Scores [B, T] and class probabilities [B, T, K] or none, at every width."""
    for width in subject.widths:
        method = subject.build(width=width)
        for lengths in ((7,), (12, 5, 30)):
            videos = subject.videos(*lengths, width=width)
            out = subject.predict(method, videos)
            size = [len(videos), subject.window or max(lengths)]
            where = f"of features {[*size, width]}"
            require(list(out.scores.shape) == size, f"scores are {list(out.scores.shape)} {where}, expected {size}")
            require(out.scores.is_floating_point(), f"scores are {out.scores.dtype}, expected floating point")
            if out.class_probs is not None:
                found, expected = list(out.class_probs.shape), [*size, len(method.task.classes)]
                require(found == expected, f"class_probs are {found} {where}, expected {expected}")
    return f"{' and '.join(f'{width}-d' for width in subject.widths)} features"


def ranges(subject: Subject) -> str:
    """Finite numbers; scores and class probabilities in [0, 1], the latter summing to 1."""
    videos = subject.videos(12, 5, 30)
    for kind, given in (("random", videos), ("all-zero", [torch.zeros_like(video) for video in videos])):
        out = subject.predict(subject.learned, given)
        for name, values in (("scores", out.scores), ("class_probs", out.class_probs)):
            if values is None:
                continue
            inside = torch.cat([row[: len(video)].flatten() for row, video in zip(values, videos, strict=True)])
            require(bool(inside.isfinite().all()), f"{name} of {kind} features are NaN or infinite")
            low, high = float(inside.min()), float(inside.max())
            if name == "class_probs" or subject.cls.card.bounded:
                require(low >= 0 and high <= 1 + ROUNDING, f"{name} of {kind} features lie in [{low:g}, {high:g}]")
        if out.class_probs is not None:
            off = max(
                float((row[: len(v)].sum(1) - 1).abs().max()) for row, v in zip(out.class_probs, videos, strict=True)
            )
            require(off <= ROUNDING, f"class_probs of {kind} features sum to 1 only within {off:.1e}")
    return "" if subject.cls.card.bounded else "scores not bounded by 1, as the card says"


def one_snippet(subject: Subject) -> str:
    """A video of a single snippet, alone and among others."""
    for videos in (subject.videos(1), subject.videos(1, 6)):
        first = subject.predict(subject.learned, videos).scores[0, :1]
        require(bool(first.isfinite().all()), "the score of a single snippet is NaN or infinite")
    return ""


def batch(subject: Subject) -> str:
    """A video's scores do not depend on padding or on the other rows of its batch."""
    videos = subject.videos(5, 40, 19, 33)
    together = subject.predict(subject.learned, videos)
    worst = 0.0
    for row, video in enumerate(videos):
        alone = subject.predict(subject.learned, [video])
        for name in ("scores", "class_probs"):
            a, b = getattr(alone, name), getattr(together, name)
            if a is not None:
                error = difference(a[0, : len(video)], b[row, : len(video)])
                worst = max(worst, error)
                require(
                    error <= ROUNDING,
                    f"{name} of {len(video)} snippets differ by {error:.1e} alone and in a batch of 4 videos",
                )
    return f"largest relative difference {worst:.1e}"


def online(subject: Subject) -> str:
    """Of a method that says it is online, no score depends on a later snippet."""
    reading = contract.reading(subject.learned)
    if not reading.online:
        return f"not declared; a score depends on its {reading.kind}" + " video" * (reading.kind == "whole")
    (video,) = subject.videos(24)
    whole = subject.predict(subject.learned, [video])
    for length in (1, 7, 23):
        part = subject.predict(subject.learned, [video[:length]])
        error = difference(part.scores[0, :length], whole.scores[0, :length])
        require(error <= ROUNDING, f"scores of the first {length} snippets differ by {error:.1e} once others follow")
    return "scores of a part are those of the whole"


def long_video(subject: Subject) -> str:
    """A video of 20,000 snippets in bounded memory."""
    longest, limit = subject.options.snippets, subject.options.memory
    method, measured = subject.learned, [0]
    with peak_growth() as growth:
        # Memory may grow with the square of the length: what shorter videos take stops the check before it hurts.
        for snippets in (longest // 4, longest // 2, longest):
            start = time.perf_counter()
            scores = subject.read_long(method, snippets)
            seconds = time.perf_counter() - start
            require(bool(scores.isfinite().all()), f"scores of {snippets:,} snippets are NaN or infinite")
            if (grown := growth()) is None:
                continue
            measured.append(grown)
            least = grown + 2 * (grown - measured[1]) if len(measured) == 3 else grown
            taken = f"{' -> '.join(map(_gib, measured[1:]))} for up to {snippets:,} snippets"
            require(least <= limit, f"predict takes {taken}; {longest:,} may take {_gib(limit)}")
    memory = _gib(measured[-1]) if measured[1:] else "memory not measured on this system"
    return f"{longest:,} snippets: {memory}, {seconds:.1f} s"


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
