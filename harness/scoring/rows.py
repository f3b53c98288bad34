"""What a row of a prediction file stands for: a frame, a snippet of so many frames, or a uniform segment."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.records.alignment import Alignment

FRAMES = Alignment(kind="stride", stride=1)
SEGMENTS = Alignment(kind="segments")
_CHOICES = "frames, snippets, segments, or how many frames a row stands for, such as 16"


def parse_rows(text: str, usual: Alignment) -> Alignment:
    """Return what `--rows` names; snippets are those of the data set, `usual`, where it has any.

    Raises:
        UserError: it is none of the choices.
    """
    if text in ("frames", "segments"):
        return FRAMES if text == "frames" else SEGMENTS
    if text == "snippets":
        return usual if usual.kind == "stride" else Alignment(kind="stride")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text)):
        raise UserError(f"--rows {text!r}: expected {_CHOICES}")
    return Alignment(kind="stride", stride=int(text))


def describe(alignment: Alignment) -> str:
    """Return a row's meaning in words."""
    if alignment.kind == "segments":
        return "uniform segments"
    return "frames" if alignment.stride == 1 else f"snippets of {alignment.stride} frames"


def rows_of_videos(
    rows: Mapping[str, int], frames: Mapping[str, int], usual: Alignment, where: str, given: Alignment | None
) -> Alignment:
    """Return what the rows are: `given`, else the one of frames and `usual` (the data set's own) that the counts fit.

    `rows` and `frames` count those of every video. `where` is the file, for errors.

    Raises:
        UserError: the counts may mean two things.
    """
    if given is not None:
        return given
    if usual.kind == "stride":
        return min((usual, FRAMES), key=lambda alignment: len(misfits(alignment, rows, frames)))
    snippets = Alignment(kind="stride")
    same = all(frames[video] == count * snippets.stride for video, count in rows.items())
    if not same and not misfits(snippets, rows, frames):
        raise UserError(
            f"{where}: its rows may be uniform segments or snippets of {snippets.stride} frames; say which with "
            f"--rows segments or --rows {snippets.stride}"
        )
    return SEGMENTS


def misfits(
    alignment: Alignment, rows: Mapping[str, int], frames: Mapping[str, int], slack: bool = False
) -> tuple[str, ...]:
    """Return the videos whose rows are not as many as their frames ask for.

    The last snippet may be a part, there or not. With `slack` a video may lack one more, or have one beyond its end.
    """
    if alignment.kind == "segments":
        return ()
    stride = alignment.stride
    return tuple(
        video
        for video, count in rows.items()
        if count not in (frames[video] // stride, -(-frames[video] // stride))
        and not (slack and abs(count * stride - frames[video]) <= stride)
    )


def check_fit(
    alignment: Alignment, rows: Mapping[str, int], frames: Mapping[str, int], where: str, slack: bool
) -> None:
    """Raise UserError unless the rows of every video are as many as its frames ask for, see `misfits`."""
    wrong = misfits(alignment, rows, frames, slack)
    if not wrong:
        return
    video, stride = wrong[0], alignment.stride
    asked = sorted({frames[video] // stride, -(-frames[video] // stride)})
    more = f", and {len(wrong) - 1} other videos do not fit" if len(wrong) > 1 else ""
    hints = [f"--rows says what a row is ({_CHOICES})"]
    if not slack and not misfits(alignment, rows, frames, slack=True):
        hints.insert(0, "`harness score --partial` allows for a last snippet too few or too many")
    raise UserError(
        f"{where}: {video} has {rows[video]} rows; its {frames[video]} frames are {' or '.join(map(str, asked))} "
        f"{describe(alignment)}{more}; {'; '.join(hints)}"
    )
