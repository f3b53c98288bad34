"""Reading one feature file, with every way in which it can be wrong told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.card import FeatureCard
from harness.errors import UserError


def read_array(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file; nothing in it is executed.

    Raises:
        UserError: the file is missing, no .npy file, pickled or truncated.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(6)
            if magic != b"\x93NUMPY":
                pickled = magic[:1] == b"\x80"
                kind = "a pickle, which is refused because loading it can run code" if pickled else "not a .npy file"
                raise UserError(f"{path}: {kind}; save the features with numpy.save")
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # numpy raises many kinds for a damaged header, which may ask for any amount of memory
        if "pickle" in str(error).lower() or "object" in str(error).lower():
            raise UserError(
                f"{path}: an object array (pickled), which is refused because loading it can run code; "
                "save plain float arrays with numpy.save"
            ) from error
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: truncated or damaged .npy file ({reason}); copy it again") from error


def read_features(path: Path, spec: FeatureCard) -> NDArray[np.floating[Any]]:
    """Return the features `[T, D]` of one file in the card's dtype; T = 0 is a video without features.

    Raises:
        UserError: wrong shape, width or dtype, or a value that is NaN or infinite.
    """
    array = read_array(path)
    if array.ndim != 2 or array.shape[1] != spec.dim:
        raise UserError(f"{path}: shape {array.shape}, expected (snippets, {spec.dim})")
    if array.dtype not in (np.float16, np.float32) or not np.can_cast(array.dtype, spec.dtype):
        raise UserError(f"{path}: dtype {array.dtype}, expected {spec.dtype}")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: NaN or infinity in row {int(np.argmin(finite))}; extract the video again")
    return array.astype(spec.dtype, copy=False)
