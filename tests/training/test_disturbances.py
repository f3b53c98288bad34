"""Disturbances are pure, nested by level, the same for all methods, and touch what they say and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from harness.data.bank import Item, Split
from harness.errors import UserError
from harness.records.disturbance import KINDS, disturbance_of
from harness.training.disturbances import disturbed_test, disturbed_training

LEVELS = (0.1, 0.25, 0.5)


def split(crops: int = 2, dim: int = 6) -> Split:
    """Forty videos of five snippets, every second normal."""
    items = tuple(
        Item(f"v{video}", crop, 5, (0,) if video % 2 else (1 + video % 3,))
        for video in range(40)
        for crop in range(crops)
    )
    rows = np.random.default_rng(0).standard_normal((5 * len(items), dim)) * np.arange(1, dim + 1)
    return Split(items, np.arange(len(items)) * 5, rows.astype(np.float32), 2.0, 4)


def flipped(whole: Split, level: float, seed: int = 0) -> dict[str, tuple[int, ...]]:
    changed = disturbed_training(whole, f"label-noise {level:g}", seed, "demo", (1, 2, 3))
    assert [item.video for item in changed.items] == [item.video for item in whole.items]
    pairs = zip(whole.items, changed.items, strict=True)
    found = {new.video: new.labels for old, new in pairs if old.labels != new.labels}
    assert all(item.labels == found.get(item.video, item.labels) for item in changed.items)  # all crops of a video
    return found


def test_labels_are_flipped_in_both_kinds_and_nested() -> None:
    whole, before = split(), dict[str, tuple[int, ...]]()
    for level in LEVELS:
        found = flipped(whole, level)
        odd = {video for video in found if int(video[1:]) % 2}
        assert len(odd) == len(found) - len(odd) == round(20 * level)
        assert all(found[video][0] in (1, 2, 3) for video in odd)
        assert all(found[video] == (0,) for video in found.keys() - odd)
        assert before.items() <= found.items()
        before = found
    assert {labels[0] for labels in flipped(whole, 1).values()} == {0, 1, 2, 3}
    assert flipped(whole, 0.25) == flipped(whole, 0.25) != flipped(whole, 0.25, seed=1)


def test_fewer_videos_keep_both_kinds_with_all_crops() -> None:
    whole, before = split(), set[str]()
    for level in (0.01, *LEVELS):
        kept = disturbed_training(whole, f"fewer-videos {level:g}", 0, "demo", (1, 2, 3))
        videos = {item.video for item in kept.items}
        odd = {video for video in videos if int(video[1:]) % 2}
        assert len(odd) == len(videos) - len(odd) == max(round(20 * level), 1)
        assert len(kept.items) == 2 * len(videos)
        assert before <= videos
        assert kept.features is whole.features
        before = videos


def test_noise_is_of_the_channels_size_and_of_the_place_in_the_video() -> None:
    whole = split()
    noisy = disturbed_test(whole, "feature-noise 0.5", 0, "demo", 0)
    louder = disturbed_test(whole, "feature-noise 1", 0, "demo", 0)
    added = np.concatenate([noisy.item_features(i) - whole.item_features(i) for i in range(len(whole.items))])
    own = 2 * whole.features.std(axis=0)
    np.testing.assert_allclose(added.std(axis=0), 0.5 * own, rtol=0.1)
    assert np.abs(added.mean(axis=0) / own).max() < 0.1
    np.testing.assert_array_equal(noisy.item_features(3, 2, 4), noisy.item_features(3)[2:4])
    twice = louder.item_features(3) - whole.item_features(3)
    np.testing.assert_allclose(twice, 2 * (noisy.item_features(3) - whole.item_features(3)), atol=1e-5)
    part = noisy.subset(np.arange(len(whole.items)) == 3)
    np.testing.assert_array_equal(part.item_features(0), noisy.item_features(3))
    assert noisy.features is whole.features


def test_crops_go_missing_from_the_last() -> None:
    few = disturbed_test(split(crops=5), "missing-crops 2", 0, "demo", 0)
    assert {item.crop for item in few.items} == {0, 1}
    assert len(few.items) == 80


def test_sound_goes_silent_video_by_video() -> None:
    whole = split()
    quiet = disturbed_test(whole, "dropped-audio 0.25", 0, "demo", 2)
    silent = set()
    for index, item in enumerate(whole.items):
        values, before = quiet.item_features(index), whole.item_features(index)
        np.testing.assert_array_equal(values[:, :4], before[:, :4])
        if not values[:, 4:].any():
            silent.add(item.video)
        else:
            np.testing.assert_array_equal(values, before)
    assert len(silent) == 10


def test_each_part_is_left_alone_by_disturbances_of_the_other() -> None:
    whole = split()
    for text in ("", "feature-noise 1"):
        assert disturbed_training(whole, text, 0, "demo", (1,)) is whole
    for text in ("", "label-noise 0.2"):
        assert disturbed_test(whole, text, 0, "demo", 0) is whole


@pytest.mark.parametrize(
    "text", ["noise", "label-noise", "label-noise x", "label-noise 1.5", "label-noise nan", "fewer-videos 0",
             "missing-crops 1.5", "missing-crops 0", "feature-noise -1", "dropped-audio 2"],
)  # fmt: skip
def test_what_is_no_disturbance(text: str) -> None:
    with pytest.raises(UserError, match=rf"^disturbance '{text}': expected [^\n]+$"):
        disturbance_of(text)


def test_standard_levels_are_levels() -> None:
    for name, kind in KINDS.items():
        for level in kind.levels:
            assert str(disturbance_of(f"{name} {level:g}")) == f"{name} {level:g}"
    assert str(disturbance_of(" label-noise 0.20")) == "label-noise 0.2"
