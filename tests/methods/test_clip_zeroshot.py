"""CLIP zero-shot: features that are the texts themselves, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from harness.errors import Unsupported
from harness.methods.clip_zeroshot import ClipZeroShot, ClipZeroShotConfig
from harness.plugin import Size, Task
from harness.text.loading import load_text_tower
from harness.text.tower import TextTower

CLASSES = ("normal", "riot", "car accident")


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(None)


def test_a_snippet_like_a_text_gets_its_class(tower: TextTower) -> None:
    model = ClipZeroShot(ClipZeroShotConfig(temperature=0.01), Task("t", CLASSES, CLASSES, 512, tower)).eval()
    features = tower.encode(CLASSES)[None] * 3
    out = model.predict(features, torch.tensor([3]))
    assert out.class_probs is not None
    assert out.class_probs[0].argmax(dim=1).tolist() == [0, 1, 2]
    torch.testing.assert_close(out.scores, 1 - out.class_probs[..., 0])
    assert out.scores[0, 0] < 0.5 < out.scores[0, 1]
    torch.testing.assert_close(model.predict(features * 7, torch.tensor([3])).scores, out.scores)


def test_nothing_to_train_or_save(tower: TextTower) -> None:
    model = ClipZeroShot(ClipZeroShotConfig(), Task("t", CLASSES, CLASSES, 512, tower))
    assert Size.of(model) == Size(0, 0)
    assert model.saved_state() == {}
    assert model.card.training == "none"
    with pytest.raises(NotImplementedError):
        model.sampling()


def test_width_must_be_the_towers(tower: TextTower) -> None:
    with pytest.raises(Unsupported, match="512-d"):
        ClipZeroShot.check(Task("t", CLASSES, CLASSES, 1024, tower))
    with pytest.raises(Unsupported, match="text tower"):
        ClipZeroShot.check(Task("t", CLASSES, CLASSES, 512))
