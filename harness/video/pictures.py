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
    cv2 = opencv()
    if picture.filter == "opencv-bilinear":
        # Resized before the channels change places, as in the community's scripts.
        scaled = frame if wanted == (width, height) else cv2.resize(frame, dsize=wanted)
        return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB))
    from PIL import Image

    image: Any = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return np.array(image.resize(wanted, Image.Resampling.BICUBIC) if wanted != image.size else image)


def framed(frame: Frame, protocol: Protocol) -> Pixels:
    """Return the part of a resized frame that its crops lie in: of a single crop no more than itself, unmirrored.

    Raises:
        UserError: the frame is smaller than the crops.
    """
    picture, crops = resized(frame, protocol.picture), protocol.crops
    _check_size(picture, crops)
    if len(crops.order) > 1:
        return picture
    ((top, left, _),) = _corners(picture, crops)
    return np.ascontiguousarray(picture[top : top + crops.size, left : left + crops.size])


def crop(picture: Pixels, crops: Crops) -> Pixels:
    """Return the crops `[C, S, S, 3]` of a picture `[H, W, 3]` in their order; raises UserError if it is smaller."""
    _check_size(picture, crops)
    cut = []
    for top, left, mirrored in _corners(picture, crops):
        square = picture[top : top + crops.size, left : left + crops.size]
        cut.append(square[:, ::-1] if mirrored else square)
    return np.stack(cut)


def squares(picture: Pixels, protocol: Protocol, device: torch.device) -> list[Tensor]:
    """Return the normalised crops, each `[3, S, S]`, of a picture as `framed` gives it.

    All are cut from one normalised picture, and where there are mirrored ones from its mirror image: the same numbers
    as normalised crops, in a fifth of the work for ten of them.
    """
    whole = normalised(torch.from_numpy(picture).to(device)[None], protocol.normalise)[0]
    size, width = protocol.crops.size, whole.shape[2]
    corners = _corners(picture, protocol.crops)
    mirror = whole.flip(2) if any(mirrored for *_, mirrored in corners) else whole
    cut = []
    for top, left, mirrored in corners:
        side = width - size - left if mirrored else left
        cut.append((mirror if mirrored else whole)[:, top : top + size, side : side + size])
    return cut


def normalised(pixels: Tensor, rule: Normalisation) -> Tensor:
    """Return pictures `[N, H, W, 3]` uint8 as `[N, 3, H, W]` float32, (x / 255 - mean) / std."""
    values = pixels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    mean, spread = (torch.tensor(numbers, device=pixels.device).view(1, 3, 1, 1) for numbers in (rule.mean, rule.std))
    return values.div_(255).sub_(mean).div_(spread)


def _check_size(picture: Pixels, crops: Crops) -> None:
    """Raise UserError where a picture `[H, W, 3]` is smaller than its crops."""
    height, width = picture.shape[:2]
    if min(height, width) < crops.size:
        raise UserError(
            f"a picture of {width}x{height} is smaller than the crops of {crops.size}; the protocol must resize"
        )


def _corners(picture: Pixels, crops: Crops) -> list[tuple[int, int, bool]]:
    """Top and left of each crop in a picture, and whether it is mirrored."""
    below, right = picture.shape[0] - crops.size, picture.shape[1] - crops.size
    corner = {
        # Half pixels go to the even number, as in torchvision's centre crop.
        "centre": (round(below / 2), round(right / 2)),
        "top-left": (0, 0),
        "top-right": (0, right),
        "bottom-left": (below, 0),
        "bottom-right": (below, right),
    }
    return [(*corner[name.removesuffix(MIRRORED)], name.endswith(MIRRORED)) for name in crops.order]


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
