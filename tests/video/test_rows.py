"""A picture's row has the same bits wherever it stands, in whatever company."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.records.protocol import Crops
from harness.video.pictures import crop, framed, normalised, pictures, squares
from harness.video.protocols import find_protocol, protocol_names
from harness.video.rows import rows_of
from harness.video.towers.loading import load_image_tower
from harness.video.towers.tower import ImageTower
from tests.video.films import pictures as drawn

ROOT = Path(__file__).resolve().parents[2]


class Frames:
    """Frames in memory."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self._frames, self._next = frames, 0

    def grab(self) -> bool:
        self._next += 1
        return self._next <= len(self._frames)

    def retrieve(self) -> np.ndarray:
        return self._frames[self._next - 1]


def check_places(batch: int) -> None:
    """Assert that one picture's row is the same at every place of a batch, beside other pictures and beside zeros."""
    tower = load_image_tower(None)
    random = torch.Generator().manual_seed(0)
    others = torch.randn(batch, 3, tower.size, tower.size, generator=random)
    picture = torch.randn(3, tower.size, tower.size, generator=random)
    found = []
    for company in (others, torch.zeros_like(others), others.flip(0)):
        for place in range(batch):
            pixels = company.clone()
            pixels[place] = picture
            found.append(tower(pixels)[place])
    assert all(torch.equal(row, found[0]) for row in found)
    assert float(found[0].norm()) > 0
    assert not torch.equal(tower(others)[0], found[0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_row_does_not_depend_on_its_place(batch: int, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check_places(batch)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_nor_on_a_computer_with_other_instructions(capability: str) -> None:
    code = "import torch, tests.video.test_rows as t; t.check_places(8); print(torch.backends.cpu.get_cpu_capability())"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if done.stdout.strip().lower() != capability:
        pytest.skip(f"this processor has no {capability}")


def test_the_batch_decides_rounding_alone(tower: ImageTower) -> None:
    frames = list(drawn(20, 64, 48))
    rule = find_protocol("vadclip")
    one, other = (rows_of(Frames(frames), rule, tower, batch) for batch in (1, 7))
    assert one.shape == (2, 10, 512)
    np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("size", [(64, 48), (641, 363), (240, 320), (320, 240)])
@pytest.mark.parametrize("name", protocol_names())
def test_crops_of_a_normalised_picture_are_normalised_crops(name: str, size: tuple[int, int]) -> None:
    rule, (frame,) = find_protocol(name), drawn(1, *size)
    one_by_one = normalised(torch.from_numpy(pictures(frame, rule)), rule.normalise)
    assert torch.equal(torch.stack(squares(framed(frame, rule), rule, torch.device("cpu"))), one_by_one)


def test_a_single_mirrored_crop_is_mirrored_once() -> None:
    whole, (frame,) = find_protocol("vadclip"), drawn(1, 64, 48)
    for number, name in enumerate(whole.crops.order):
        single = whole.model_copy(update={"crops": Crops(order=(name,))})
        (cut,) = squares(framed(frame, single), single, torch.device("cpu"))
        assert torch.equal(cut, squares(framed(frame, whole), whole, torch.device("cpu"))[number])


def test_crops_lie_where_the_official_script_cuts() -> None:
    picture = np.arange(256 * 340, dtype=np.int64).reshape(256, 340, 1)
    corners = {"centre": (16, 58), "top-left": (0, 0), "top-right": (0, 116), "bottom-left": (32, 0)}
    corners["bottom-right"] = (32, 116)
    order = find_protocol("vadclip").crops.order
    cut = crop(picture, Crops(order=order))  # type: ignore[arg-type]
    for number, (name, (top, left)) in enumerate(corners.items()):
        assert order[number : number + 6 : 5] == (name, f"{name}-mirrored")
        square = picture[top : top + 224, left : left + 224]
        assert np.array_equal(cut[number], square)
        assert np.array_equal(cut[number + 5], np.fliplr(square))
