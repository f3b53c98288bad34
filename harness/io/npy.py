"""The header of a `.npy` file whose number of rows is known only when all of them are written."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return the header of an array; numpy pads it, so that one of any other number of rows is as long."""
    content = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, described)
    return content.getvalue()
