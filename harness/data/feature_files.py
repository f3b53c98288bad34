"""Where the feature files that a list names lie on this machine."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from harness.data.card_parts import FeatureCard
from harness.data.lists import ListedFile
from harness.data.spelling import composed, is_video_file, last_part, video_of, without
from harness.errors import UserError


@dataclass(frozen=True)
class FeatureFile:
    """A feature file and what its name says: the video and the crop, 0 if the name has none.

    `there` is False where a list names it and it is missing; `path` is then where it was looked for last.
    """

    path: Path
    video: str
    crop: int
    there: bool = True


class FeatureFiles:
    """All feature files under a root, found again by paths that were written on another machine."""

    def __init__(self, root: Path, spec: FeatureCard, skip: str = "") -> None:
        """List the files; those in folders called `skip` (frame masks, named like features) are none of them."""
        self.root = root
        self._spec = spec
        # By what a list may call them: accents composed, the extension in lower case.
        self._by_path: dict[str, list[Path]] = {}
        self._by_name: dict[str, list[Path]] = {}
        for path in sorted(_files_under(root, spec.extension, skip)):
            key = self._key(path.relative_to(root).as_posix())
            self._by_path.setdefault(key, []).append(path)
            self._by_name.setdefault(last_part(key), []).append(path)

    def named(self, listed: ListedFile) -> list[FeatureFile]:
        """Return the files that a row means: the one it names, there or not, or all crops of the video it names.

        A row without the extension of a feature file names a video: nothing is returned if all its crops are missing.

        Raises:
            UserError: see `find`; or the path leaves the root by `..`, or the name has not the form of the card.
        """
        if ".." in _parts(listed):
            raise UserError(f"{listed.where}: path {listed.path!r} leaves the root directory; write it without ..")
        path = self.find(listed)
        if path is None and not listed.path.lower().endswith(self._spec.extension):
            return self._crops(listed)
        try:
            video, crop = split_name(listed.path, self._spec)
        except UserError as error:
            raise UserError(f"{listed.where}: {error}") from error
        return [FeatureFile(path or self.root / listed.name, video, crop, path is not None)]

    def find(self, listed: ListedFile) -> Path | None:
        """Return the file that a row names, with or without its extension; None if it is missing.

        Tried are the path below the root, then without its first folders, then the file name alone.

        Raises:
            UserError: several files have the row's name.
        """
        if is_video_file(listed.path):
            return None
        parts = _parts(listed)
        for first in range(len(parts)):
            if found := self._by_path.get(self._key("/".join(parts[first:]))):
                return self._one(listed.where, found)
        return self._one(listed.where, self._by_name.get(self._key(parts[-1]), [])) if parts else None

    def audio(self, video: str, where: str) -> Path | None:
        """Return the audio features of a video, None if they are missing.

        Raises:
            UserError: there are several.
        """
        return self._one(where, self._by_name.get(self._key(self.audio_name(video)), []))

    def audio_name(self, video: str) -> str:
        """Name of the file of a video's audio features."""
        return f"{video}{self._spec.audio}{self._spec.extension}"

    def _key(self, path: str) -> str:
        return composed(without(path, self._spec.extension) + self._spec.extension)

    def _one(self, where: str, found: list[Path]) -> Path | None:
        if len(found) > 1:
            one, other = (path.relative_to(self.root).as_posix() for path in found[:2])
            raise UserError(f"{where}: {found[0].name} is there twice, {one} and {other}; keep one")
        return found[0] if found else None

    def _crops(self, listed: ListedFile) -> list[FeatureFile]:
        found = self._by_video.get(video_of(listed.name), [])
        for one, other in pairwise(found):
            if one.crop == other.crop:
                raise UserError(f"{listed.where}: {listed.name} has {one.path} and {other.path}; keep one")
        return found

    @cached_property
    def _by_video(self) -> dict[str, list[FeatureFile]]:
        found: dict[str, list[FeatureFile]] = {}
        for path in (path for paths in self._by_path.values() for path in paths):
            with contextlib.suppress(UserError):  # other files may lie here, such as audio features
                video, crop = split_name(path.name, self._spec)
                found.setdefault(video, []).append(FeatureFile(path, video, crop))
        return {video: sorted(files, key=lambda file: file.crop) for video, files in found.items()}


def _parts(listed: ListedFile) -> list[str]:
    return [part for part in re.split(r"[/\\]", listed.path) if part not in ("", ".")]


def _files_under(root: Path, extension: str, skip: str) -> Iterator[Path]:
    """Yield every file with an extension in any case; linked folders count: features often lie on another disk."""
    visited = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            inner.clear()  # a link to a folder that has been listed, perhaps one around it
            continue
        visited.add(real)
        inner[:] = [name for name in inner if composed(name) != composed(skip)]
        yield from (Path(folder, name) for name in names if name.lower().endswith(extension))


def split_name(path: str, spec: FeatureCard) -> tuple[str, int]:
    """Return (video, crop) of a feature file's path: `Abuse001_x264__3.npy` is crop 3 of Abuse001_x264.

    Raises:
        UserError: the name has not the form that the card expects.
    """
    name = composed(last_part(path))
    stem = without(name, spec.extension)
    if not spec.names and not spec.crop_suffix:
        return video_of(stem), 0
    expected = spec.names or r"(?P<video>.+)__(?P<crop>[0-9]{1,3})"
    match = re.fullmatch(expected, stem)
    if match is None:
        form = f"like {spec.names}" if spec.names else f"that end in __k{spec.extension}"
        raise UserError(f"{name} is no crop of a video; the card expects names {form}")
    return video_of(match["video"]), int(match.groupdict().get("crop") or 0)
