"""Extraction beside the script that people use: for each crop one pass over the video, one frame at a time.

Run with `tox -e bench`; in the ordinary suite both run over a few frames and must give the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from harness.records.protocol import Protocol
from harness.video.batches import BATCH, Meter, cores
from harness.video.decode import opencv, opened
from harness.video.pipeline import Pipeline
from harness.video.protocols import find_protocol
from harness.video.rows import Done
from harness.video.towers.loading import load_image_tower
from harness.video.towers.tower import ImageTower, new_clip_vision_model, projected_class_token
from tests.video.films import film

CROPS = {"ten crops": "vadclip", "one crop": "vadclip-centre-crop"}
# How many times faster; a large tower is bound by its own arithmetic, whatever is around it.
TARGETS = {
    ("embedded", "ten crops"): 5.0,
    ("embedded", "one crop"): 1.5,
    ("ViT-B/16", "ten crops"): 1.0,
    ("ViT-B/16", "one crop"): 1.0,
}
FRAMES = {("embedded", "ten crops"): 160, ("embedded", "one crop"): 800}


def large() -> ImageTower:
    """A tower of CLIP ViT-B/16's size with seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = new_clip_vision_model(
            **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
            **{"image_size": 224, "patch_size": 16, "projection_dim": 512},
        )
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return ImageTower(model, projected_class_token, "large", 224, 512)


TOWERS: dict[str, Callable[[], ImageTower]] = {"embedded": lambda: load_image_tower(None), "ViT-B/16": large}


def plain(path: Path, protocol: Protocol, tower: ImageTower) -> np.ndarray:
    """What scripts do: every crop opens the video again; a frame is resized, cut, made a PIL image, then CLIP's own
    resize and crop (which change nothing), a tensor, normalised, and alone through the tower; the mean of 16."""
    from PIL import Image

    cv2 = opencv()
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (protocol.normalise.mean, protocol.normalise.std))
    corners = [(16, 58), (0, 0), (0, 116), (32, 0), (32, 116)]
    crops = []
    for number in range(len(protocol.crops.order)):
        top, left = corners[number % 5]
        rows, waiting = [], []
        with opened(path) as video:
            while video.grab():
                picture = cv2.cvtColor(cv2.resize(video.retrieve(), (340, 256)), cv2.COLOR_BGR2RGB)
                square = picture[top : top + 224, left : left + 224]
                image = Image.fromarray(np.ascontiguousarray(np.fliplr(square) if number >= 5 else square))
                image = image.resize((224, 224), Image.Resampling.BICUBIC).crop((0, 0, 224, 224)).convert("RGB")
                pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
                waiting.append(tower(pixels.sub(mean).div(std)[None]).numpy())
                if len(waiting) == 16:
                    rows.append(np.concatenate(waiting).mean(axis=0))
                    waiting = []
        if waiting:
            rows.append(np.concatenate(waiting).mean(axis=0))
        crops.append(np.stack(rows))
    return np.stack(crops, axis=1)


def ours(path: Path, protocol: Protocol, tower: ImageTower, meter: Meter) -> np.ndarray:
    """The rows of a video by the pipeline of `harness extract`."""
    with cores("cpu") as threads:
        pipeline = Pipeline(protocol, tower, BATCH["cpu"], 1, opened, meter, threads)
        return np.stack([item.values for item in pipeline.run([(0, path)]) if not isinstance(item, Done)])


@pytest.mark.benchmark(group="extraction")
@pytest.mark.parametrize("crops", CROPS)
@pytest.mark.parametrize("size", TOWERS)
def test_extraction(
    benchmark: BenchmarkFixture, say: Callable[[str], None], size: str, crops: str, tmp_path: Path
) -> None:
    protocol, tower = find_protocol(CROPS[crops]), TOWERS[size]()
    small = benchmark.disabled
    if small and size != "embedded":
        pytest.skip("a benchmark")
    frames = 17 if small else FRAMES.get((size, crops), 1 if crops == "ten crops" else 8)
    path = film(tmp_path / "a.mp4", frames, (320, 240))
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    meter, rows = Meter(), np.zeros(0)

    def both() -> None:
        """One after the other, so that both see the computer as busy as it is."""
        nonlocal rows, meter
        began = time.perf_counter()
        expected = plain(path, protocol, tower)
        seconds["plain"].append(time.perf_counter() - began)
        latest, began = Meter(), time.perf_counter()
        rows = ours(path, protocol, tower, latest)
        seconds["ours"].append(time.perf_counter() - began)
        if seconds["ours"][-1] == min(seconds["ours"]):
            meter = latest
        np.testing.assert_allclose(rows, expected, atol=1e-5 * float(np.abs(expected).max()))

    benchmark.pedantic(both, rounds=1 if small else 5 if size == "embedded" else 2)
    if small:
        return
    slow, fast = (min(seconds[how]) for how in ("plain", "ours"))
    share, target = meter.tower / meter.total, TARGETS[size, crops]
    benchmark.extra_info |= {
        "times_faster": slow / fast,
        "share_of_the_tower": share,
        "frames_per_second": frames / fast,
    }
    say(
        f"extraction, {size}, {crops}: {slow / fast:.1f} times faster than the plain script (target {target:g}), "
        f"{frames / fast:.0f} frames a second, {share:.0%} of the time in the tower"
    )
