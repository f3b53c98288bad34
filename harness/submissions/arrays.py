"""The predictions file of a stranger: every header is checked against the bytes that are there before they are used."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from harness.errors import UserError
from harness.io.digests import DIGEST
from harness.io.npz import readable
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.submissions.archive import StoredZip, plain

_REQUIRED = {"videos": "U", "offsets": "<i8", "scores": "<f4", "classes": "U", "alignment": "U"}
# The manifest has the hash of the file; the one inside is for those who have the file alone.
_OPTIONAL = {"class_probs": "<f4", DIGEST: "U"}
_AXES = {"videos": 1, "offsets": 1, "scores": 1, "classes": 1, "alignment": 0, "class_probs": 2, DIGEST: 0}


def parse_predictions(data: bytes, where: str) -> Predictions:
    """Return the predictions that `Predictions.save` wrote to a file of these bytes; `where` names it in errors.

    Raises:
        UserError: an array is missing, unknown, of another type or size than it says, or not finite; or they do not
            belong together.
    """
    archive = StoredZip(io.BytesIO(data), where)
    found = {name.removesuffix(".npy") for name in archive.names}
    if missing := sorted(_REQUIRED.keys() - found):
        raise UserError(f"{where}: lacks the array {missing[0]}")
    if unknown := sorted(found - _REQUIRED.keys() - _OPTIONAL.keys()):
        raise UserError(f"{where}: unknown array {plain(unknown[0])!r}")
    arrays = {name: _array(archive.read(f"{name}.npy", len(data)), name, where) for name in sorted(found)}
    try:
        videos, classes = tuple(arrays["videos"].tolist()), tuple(arrays["classes"].tolist())
        alignment = Alignment.model_validate_json(str(arrays["alignment"]))
    except (ValueError, ValidationError) as error:
        raise UserError(f"{where}: a text in it cannot be read, or the alignment is none") from error
    offsets, scores, probs = arrays["offsets"], arrays["scores"], arrays.get("class_probs")
    # Differences of such numbers could overflow.
    if len(offsets) and (offsets.min() < 0 or offsets.max() > len(scores)):
        raise UserError(f"{where}: offsets do not divide {len(scores)} scores among {len(videos)} videos")
    predictions = Predictions(videos, offsets, scores, alignment, classes, probs)
    predictions.check(where)
    if probs is not None and not np.isfinite(probs).all():
        raise UserError(f"{where}: class_probs contain NaN or infinity")
    return predictions


def _array(data: bytes, name: str, where: str) -> NDArray[Any]:
    expected = (_REQUIRED | _OPTIONAL)[name]
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not version 1.0")
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # numpy parses the header as Python, which fails in many ways
        raise UserError(f"{where}: {name} is no array of NumPy") from error
    fits = dtype.kind == "U" and dtype.byteorder in "=<" if expected == "U" else dtype == np.dtype(expected)
    if not fits or not dtype.itemsize:
        wanted = "text" if expected == "U" else expected
        raise UserError(f"{where}: {name} is of type {dtype.str[:20]}, expected {wanted}")
    size = len(data) - stream.tell()
    if by_column or len(shape) != _AXES[name] or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
        raise UserError(f"{where}: {name} says its shape is {str(shape)[:100]}, which its {size:,} bytes are not")
    array = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
    if not readable(array):
        raise UserError(f"{where}: {name} holds a text with characters that do not exist")
    return array
