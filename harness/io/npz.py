"""Archives of arrays from anywhere: nothing in them is executed, whatever is wrong with them is one error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from harness.errors import UserError
from harness.io.digests import digest


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a .npz file by name.

    Raises:
        UserError: the file is missing, damaged, or holds something else than plain arrays.
    """
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, NpzFile):
                found = {name: archive[name] for name in archive.files}
                # An array that is shorter than its member would be read without the member's checksum.
                if archive.zip is not None and (bad := archive.zip.testzip()) is not None:
                    raise ValueError(f"the checksum of {bad} is wrong")
            else:
                found = {}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except Exception as error:  # numpy raises many kinds for a damaged header, which may ask for any amount of memory
        raise UserError(f"{path}: not a readable npz file without pickles ({error}); copy or write it again") from error
    if not found or not all(isinstance(value, np.ndarray) for value in found.values()):
        raise UserError(f"{path}: not an archive of arrays as numpy.savez writes it")
    if odd := [name for name, value in found.items() if not readable(value)]:
        raise UserError(f"{path}: {odd[0]} holds a text with characters that do not exist; copy or write it again")
    return found


def readable(array: NDArray[Any]) -> bool:
    """Whether an array of texts holds nothing but characters; so it is of an array of numbers.

    NumPy makes strings of whatever numbers a file holds, and they break whoever uses them.
    """
    if array.dtype.kind != "U" or not array.dtype.itemsize:
        return True
    numbers = np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)
    return not (np.frombuffer(array.tobytes(), numbers) > sys.maxunicode).any()


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the hash of names, types, shapes and values of arrays."""
    parts: list[bytes | str] = []
    for name, array in sorted(arrays.items()):
        parts += [name, f"{array.dtype.str}{array.shape}", np.ascontiguousarray(array).tobytes()]
    return digest(*parts)
