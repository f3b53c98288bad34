"""Which test video a name of another program means: with a folder, an extension, a crop or a feature suffix."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence

from harness.data.card import DatasetCard
from harness.data.feature_files import split_name
from harness.data.spelling import composed, video_of
from harness.errors import UserError

_FEATURES = re.compile(r"\.(npy|npz|txt)$", re.IGNORECASE)
_CROP = re.compile(r"__[0-9]{1,2}$")


def match_videos(
    card: DatasetCard, given: Sequence[str], known: Collection[str], where: str
) -> tuple[dict[str, int], list[str]]:
    """Return which of the names `given` (by index) means each video of `known`, and the names that mean none.

    A name that is a video's own counts as that. `where` is the file the names are from, for errors.

    Raises:
        UserError: a name may mean several videos, or several names mean the same.
    """
    places: dict[str, int] = {}
    unknown = []
    named = {composed(video): video for video in known}
    for index, name in enumerate(given):
        own = composed(name)
        meant = {named[word] for word in ({own} if own in named else {*_readings(card, name)}) if word in named}
        if not meant:
            unknown.append(name)
            continue
        if len(meant) > 1:
            raise UserError(f"{where}: {name!r} may mean {' or '.join(sorted(meant))}; write the video's own name")
        (video,) = meant
        if video in places:
            both = f"{given[places[video]]!r} and {name!r}"
            raise UserError(f"{where}: {both} both mean video {video}; keep one, or average the crops of a video")
        places[video] = index
    return places, unknown


def _readings(card: DatasetCard, name: str) -> Iterator[str]:
    """Every video that a name could mean by the forms that are in use."""
    plain = video_of(_FEATURES.sub("", name))
    stems = {plain, _CROP.sub("", plain)}
    for spec in card.features.values():
        with contextlib.suppress(UserError):
            stems.add(split_name(plain + spec.extension, spec)[0])
    for stem in stems:
        # UCF-Crime's files write Normal_Videos003 and Normal_Videos_003; no number is in both splits.
        yield from (stem, stem.replace("Videos_", "Videos"), stem.replace("Videos", "Videos_"))
