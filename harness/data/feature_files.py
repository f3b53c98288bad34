"""Where the feature files that a list names lie on this machine."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PurePosixPath

from harness.data.card_parts import FeatureCard
from harness.data.lists import ListedFile
from harness.errors import UserError

_VIDEO_FILE = re.compile(r"\.(mp4|avi)$", re.IGNORECASE)


@dataclass(frozen=True)
class FeatureFile:
    """A feature file and what its name says: the video and the crop, 0 if the name has none."""

    path: Path
    video: str
    crop: int


class FeatureFiles:
    """All feature files under a root, found again by paths that were written on another machine."""

    def __init__(self, root: Path, spec: FeatureCard, skip: str = "") -> None:
        """List the files; those in folders called `skip` (frame masks, named like features) are none of them."""
        self.root = root
        self._spec = spec
        self._known = {path.relative_to(root).as_posix() for path in _files_under(root, spec.extension, skip)}
        self._by_name: dict[str, list[str]] = {}
        for path in sorted(self._known):
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)

    def named(self, listed: ListedFile) -> list[FeatureFile]:
        """Return the files that a row means: the one it names, or all crops of the video it names; none if missing.

        Raises:
            UserError: see `find`; or the path leaves the root by `..`, or the name has not the form of the card.
        """
        if ".." in _parts(listed):
            raise UserError(f"{listed.where}: path {listed.path!r} leaves the root directory; write it without ..")
        if _VIDEO_FILE.search(listed.path):
            return self._crops(listed)
        try:
            video, crop = split_name(listed.path, self._spec)
        except UserError as error:
            raise UserError(f"{listed.where}: {error}") from error
        path = self.find(listed)
        return [FeatureFile(path, video, crop)] if path else []

    def find(self, listed: ListedFile) -> Path | None:
        """Return the file that a row names, None if it is missing.

        Tried are the path below the root, then without its first folders, then the file name alone.

        Raises:
            UserError: several files have the row's name.
        """
        parts = _parts(listed)
        for first in range(len(parts)):
            candidate = "/".join(parts[first:])
            if candidate in self._known:
                return self.root / candidate
        return self._only(listed.where, parts[-1]) if parts else None

    def audio(self, where: str, video: str) -> Path:
        """Return the audio features of a video.

        Raises:
            UserError: there are none, or several.
        """
        name = f"{video}{self._spec.audio}{self._spec.extension}"
        path = self._only(where, name)
        if path is None:
            raise UserError(f"{where}: the audio features {name} are not under {self.root}; check --root")
        return path

    def _only(self, where: str, name: str) -> Path | None:
        found = self._by_name.get(name, [])
        if len(found) > 1:
            raise UserError(f"{where}: {name} is there twice, {found[0]} and {found[1]}; keep one")
        return self.root / found[0] if found else None

    def _crops(self, listed: ListedFile) -> list[FeatureFile]:
        found = self._by_video.get(_VIDEO_FILE.sub("", listed.name), [])
        for one, other in pairwise(found):
            if one.crop == other.crop:
                raise UserError(f"{listed.where}: {listed.name} has {one.path} and {other.path}; keep one")
        return found

    @cached_property
    def _by_video(self) -> dict[str, list[FeatureFile]]:
        found: dict[str, list[FeatureFile]] = {}
        for path in sorted(self._known):
            with contextlib.suppress(UserError):  # other files may lie here, such as audio features
                video, crop = split_name(path, self._spec)
                found.setdefault(video, []).append(FeatureFile(self.root / path, video, crop))
        return {video: sorted(files, key=lambda file: file.crop) for video, files in found.items()}


def _parts(listed: ListedFile) -> list[str]:
    return [part for part in re.split(r"[/\\]", listed.path) if part not in ("", ".")]


def _files_under(root: Path, extension: str, skip: str) -> Iterator[Path]:
    """Yield every file with an extension; linked folders count, because features often lie on another disk."""
    visited = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            inner.clear()  # a link to a folder that has been listed, perhaps one around it
            continue
        visited.add(real)
        inner[:] = [name for name in inner if name != skip]
        yield from (Path(folder, name) for name in names if name.endswith(extension))


def split_name(path: str, spec: FeatureCard) -> tuple[str, int]:
    """Return (video, crop) of a feature file's path: `Abuse001_x264__3.npy` is crop 3 of Abuse001_x264.

    Raises:
        UserError: the name has not the form that the card expects.
    """
    name = re.split(r"[/\\]", path)[-1]
    stem = name.removesuffix(spec.extension)
    if not spec.names and not spec.crop_suffix:
        return stem, 0
    expected = spec.names or r"(?P<video>.+)__(?P<crop>[0-9]{1,3})"
    match = re.fullmatch(expected, stem)
    if match is None:
        form = f"like {spec.names}" if spec.names else "that end in __k.npy"
        raise UserError(f"{name} is no crop of a video; the card expects names {form}")
    return match["video"], int(match.groupdict().get("crop") or 0)
