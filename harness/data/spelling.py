"""How lists, annotations and feature files spell a video: folders, extensions, accents, spaces. One reader for all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container

# Extensions of videos, in any case.
VIDEO = "mp4|avi|mkv|mov|webm|mpg|mpeg|m4v|wmv|flv"
_VIDEO = re.compile(rf"\.({VIDEO})$", re.IGNORECASE)
_UP_TO_EXTENSION = re.compile(rf"\s*(\S.*?\.(?:{VIDEO}))(?=\s|$)", re.IGNORECASE)


def composed(text: str) -> str:
    """Return `text` with accents composed (NFC): some systems write them as a letter and a mark, and look the same."""
    return unicodedata.normalize("NFC", text)


def last_part(path: str) -> str:
    """Return the last part of a path, whichever system wrote it."""
    return re.split(r"[/\\]", path)[-1]


def is_video_file(path: str) -> bool:
    """Whether a path ends with the extension of a video."""
    return _VIDEO.search(path) is not None


def video_of(path: str) -> str:
    """Return the video that a path names: without folders and a video's extension, accents composed."""
    return composed(_VIDEO.sub("", last_part(path)))


def without(name: str, extension: str) -> str:
    """Return a name without an extension such as `.npy`, which may be in any case."""
    return name[: -len(extension)] if name.lower().endswith(extension) else name


def listed_as(video: str, known: Container[str]) -> str | None:
    """Return which of the videos `known` a name means, None if none of them."""
    # UCF-Crime's files write Normal_Videos003 and Normal_Videos_003; no number is in both splits.
    spellings = video, video.replace("Videos_", "Videos"), video.replace("Videos", "Videos_")
    return next((spelling for spelling in spellings if spelling in known), None)


def split_line(line: str, known: Container[str] = ()) -> tuple[str, list[str]]:
    """Return the video that a line begins with, and the fields behind it.

    A name may have spaces where it ends with a video's extension or is one of `known`; else it ends at the first space.
    """
    if match := _UP_TO_EXTENSION.match(line):
        return video_of(match[1]), line[match.end() :].split()
    words = list(re.finditer(r"\S+", line))
    for word in reversed(words[1:]):
        video = video_of(line[words[0].start() : word.end()])
        if listed_as(video, known) is not None:
            return video, line[word.end() :].split()
    return (video_of(words[0][0]), line[words[0].end() :].split()) if words else ("", [])
