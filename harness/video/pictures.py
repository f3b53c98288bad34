"""From a decoded frame to the pictures that an image tower sees: resized, cropped, normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import UserError
from harness.records.protocol import MIRRORED, Crops, Normalisation, Picture, Protocol
from harness.video.decode import Frame, opencv

Pixels = NDArray[np.uint8]


def pictures(frame: Frame, protocol: Protocol) -> Pixels:
    """Return the crops `[C, S, S, 3]` uint8, red first, of a frame `[H, W, 3]`, blue first.

    Raises:
        UserError: the frame is smaller than the crops.
    """
    return crop(resized(frame, protocol.picture), protocol.crops)


def resized(frame: Frame, picture: Picture) -> Pixels:
    """Return a frame `[H, W, 3]`, blue first, as a resized picture, red first."""
    height, width = frame.shape[:2]
    wanted = _size(width, height, picture)
    if picture.filter == "opencv-bilinear":
        # Resized before the channels change places, as in the community's scripts.
        scaled = frame if wanted == (width, height) else opencv().resize(frame, dsize=wanted)
        return np.ascontiguousarray(scaled[:, :, ::-1])
    from PIL import Image

    image: Any = Image.fromarray(np.ascontiguousarray(frame[:, :, ::-1]))
    return np.asarray(image.resize(wanted, Image.Resampling.BICUBIC) if wanted != image.size else image)


def crop(picture: Pixels, crops: Crops) -> Pixels:
    """Return the crops `[C, S, S, 3]` of a picture `[H, W, 3]` in their order; raises UserError if it is smaller."""
    height, width = picture.shape[:2]
    size = crops.size
    if min(height, width) < size:
        raise UserError(f"a picture of {width}x{height} is smaller than the crops of {size}; the protocol must resize")
    below, right = height - size, width - size
    corner = {
        # Half pixels go to the even number, as in torchvision's centre crop.
        "centre": (round(below / 2), round(right / 2)),
        "top-left": (0, 0),
        "top-right": (0, right),
        "bottom-left": (below, 0),
        "bottom-right": (below, right),
    }
    cut = []
    for name in crops.order:
        top, left = corner[name.removesuffix(MIRRORED)]
        square = picture[top : top + size, left : left + size]
        cut.append(square[:, ::-1] if name.endswith(MIRRORED) else square)
    return np.stack(cut)


def normalised(pixels: Pixels, rule: Normalisation) -> Tensor:
    """Return pictures `[N, H, W, 3]` uint8 as `[N, 3, H, W]` float32, (x / 255 - mean) / std."""
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    mean, spread = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (rule.mean, rule.std))
    return values.div_(255).sub_(mean).div_(spread)


def _size(width: int, height: int, picture: Picture) -> tuple[int, int]:
    """Width and height of the resized picture."""
    if picture.resize == "exact":
        return picture.width, picture.height
    if picture.resize == "none":
        return width, height
    # The long side is cut off to whole pixels, as in torchvision.
    short, long = min(width, height), max(width, height)
    other = int(picture.side * long / short)
    return (picture.side, other) if width <= height else (other, picture.side)
