"""Reading one feature file, with every way in which it can be wrong told apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.card_parts import FeatureCard
from harness.data.shapes import wrong_shape
from harness.errors import UserError

Features = NDArray[np.floating[Any]]


class Damaged(UserError):
    """A file that is there but not whole, as a download that was cut off leaves it."""


def read_array(path: Path, instead: str = "save plain float arrays with numpy.save") -> NDArray[Any]:
    """Return the array of a .npy file; nothing in it is executed. `instead`: what to do where it is pickled.

    Raises:
        Damaged: the file is no .npy file, or truncated.
        UserError: the file is missing or pickled.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(6)
            if magic != b"\x93NUMPY":
                pickled = magic[:1] == b"\x80"
                if pickled:
                    raise UserError(f"{path}: a pickle, which is refused because loading it can run code; {instead}")
                what = "an empty file; copy it again" if not magic else "not a .npy file; save it with numpy.save"
                raise Damaged(f"{path}: {what}")
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # numpy raises many kinds for a damaged header, which may ask for any amount of memory
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise UserError(
                f"{path}: an object array (pickled), which is refused because loading it can run code; {instead}"
            ) from error
        reason = " ".join(str(error).split())
        raise Damaged(f"{path}: truncated or damaged .npy file ({reason}); copy it again") from error


def read_features(
    path: Path,
    name: str,
    spec: FeatureCard,
    audio: Path | None = None,
    rounded: Callable[[Path], None] = lambda path: None,
) -> list[Features]:
    """Return the features `[T, D]` of each crop in one file of the feature set `name`, in the card's dtype.

    T = 0 is a video without features. One array, or as many as the card has crops where they are stacked
    `[T, crops, D]`. `audio`: file of the audio features `[T, audio_dim]` that go behind the visual ones of every crop.
    `rounded` is called with a file of double precision, which becomes single.

    Raises:
        Damaged: a file is not whole, see `read_array`.
        UserError: wrong shape, width or dtype, or a value that is NaN or infinite.
    """
    array = _read_rows(path, spec.file_dim) if spec.text else read_array(path)
    shape = (spec.crops, spec.file_dim) if spec.stacked else (spec.file_dim,)
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        raise UserError(f"{path}: {wrong_shape(array.shape, name, spec)}")
    array = _checked(path, array, spec, rounded)
    crops = [array[:, crop] for crop in range(spec.crops)] if spec.stacked else [array]
    if audio is not None:
        heard = _read_audio(audio, name, spec, rounded)
        crops = [_joined(path, crop, audio, heard) for crop in crops]
    return [crop.astype(spec.dtype, copy=False) for crop in crops]


def _read_audio(path: Path, name: str, spec: FeatureCard, rounded: Callable[[Path], None]) -> Features:
    array = read_array(path)
    if array.ndim != 2 or array.shape[1] != spec.audio_dim:
        raise UserError(f"{path}: {wrong_shape(array.shape, name, spec, audio=True)}")
    return _checked(path, array, spec, rounded)


def _joined(path: Path, seen: Features, audio: Path, heard: Features) -> Features:
    # HL-Net (arXiv 2007.04687) drops the last visual row where audio has one row less.
    if len(seen) - len(heard) not in (0, 1):
        raise UserError(f"{audio}: {len(heard)} rows, {path.name} has {len(seen)}; expected as many or one less")
    return np.concatenate([seen[: len(heard)], heard], axis=1)


def _checked(path: Path, array: NDArray[Any], spec: FeatureCard, rounded: Callable[[Path], None]) -> Features:
    """The array as floats of at most single precision, all of them finite."""
    if array.dtype.kind != "f":
        hint = f"save it with features.astype('{spec.dtype}')"
        raise UserError(f"{path}: dtype {array.dtype}, expected {spec.dtype}; {hint}")
    if spec.dtype == "float16" and array.dtype.itemsize > 2:
        hint = "write `dtype: float32` in the card, or save half-precision features"
        raise UserError(f"{path}: dtype {array.dtype}, expected {spec.dtype}; {hint}")
    if array.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # what single precision cannot hold becomes infinite, and is refused below
            array = array.astype(np.float32)
        rounded(path)
    finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if not finite.all():
        raise UserError(f"{path}: NaN or infinity in row {int(np.argmin(finite))}; extract the video again")
    return array


def _read_rows(path: Path, width: int) -> NDArray[np.float32]:
    """Return the rows `[T, width]` of a text file, one snippet a line (Sultani et al. 2018).

    Raises:
        Damaged: a line has more or fewer numbers, or something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Damaged(f"{path}: not a readable text file; expected one snippet of {width} numbers a line") from error
    rows = [np.zeros((0, width), dtype=np.float32)]
    for number, line in enumerate(lines, start=1):
        try:
            row = np.array(line.split(), dtype=np.float32)
        except ValueError as error:
            raise Damaged(f"{path}:{number}: {error}; expected {width} numbers a line") from error
        if len(row) not in (0, width):
            raise Damaged(f"{path}:{number}: {len(row)} numbers, expected {width}")
        rows.append(row.reshape(-1, width))
    return np.concatenate(rows)
