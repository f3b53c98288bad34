"""The generated set: the same pictures with sound and without, and sound that tells of most events."""

from __future__ import annotations

import numpy as np

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank


def test_the_pictures_are_the_same_with_sound_and_without(demo: Bank) -> None:
    heard = open_bank(find_card("demo"), "synthetic-av")
    for name in ("train", "test"):
        pictures, both = demo.split(name), heard.split(name)
        assert pictures.items == both.items
        np.testing.assert_array_equal(pictures.features, both.features[:, :512])
    assert demo.truth() == heard.truth()


def test_most_events_are_heard_and_not_all(demo: Bank) -> None:
    bank = open_bank(find_card("demo"), "synthetic-av")
    split, truth = bank.split("test"), bank.truth()
    sound = split.features[:, 512:].astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(sound, axis=1), 1, atol=1e-2)
    louder = []
    for index, item in enumerate(split.items):
        for event in truth.videos[item.video].events:
            rows = split.item_features(index)[:, 512:].astype(np.float64)
            inside = np.zeros(len(rows), dtype=bool)
            inside[event.start // 16 : -(-event.end // 16)] = True
            if 4 <= inside.sum() <= len(rows) - 4:
                mean = rows[inside].mean(axis=0) - rows[~inside].mean(axis=0)
                louder.append(float(np.linalg.norm(mean)))
    louder.sort()
    assert len(louder) > 20
    # Between what is heard and what is not there is a gap.
    assert louder[len(louder) // 2] > 2 * louder[0]


def test_it_is_written_once(demo: Bank) -> None:
    path = open_bank(find_card("demo"), "synthetic-av").path
    before = (path / "bank.json").stat().st_mtime_ns
    open_bank(find_card("demo"), "synthetic-av")
    assert (path / "bank.json").stat().st_mtime_ns == before
