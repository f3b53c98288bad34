"""Pooling, batches and the validation part."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.data.sampling import Batches, fit_length, pool_segments, validation_items
from harness.errors import UserError
from harness.method import Sampling
from tests.tiny import split


@pytest.mark.parametrize("segments", [32, 200])
@pytest.mark.parametrize("length", [1, 5, 31, 32, 33, 58, 70, 114, 999])
def test_pooling_follows_the_float_edges(length: int, segments: int) -> None:
    video = np.random.default_rng(length).standard_normal((length, 3)).astype(np.float32)
    edges = np.linspace(0, length, segments + 1, dtype=int)
    expected = [video[a:b].astype(np.float64).mean(axis=0) if b > a else video[a] for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(pool_segments(video, segments), expected, rtol=0, atol=1e-6)


def test_pool_or_pad_keeps_short_videos_and_zero_pads() -> None:
    video = np.ones((5, 3), dtype=np.float32)
    padded, valid = fit_length(video, Sampling("pairs", 1, 8, 1, fit="pool-or-pad"))
    assert valid == 5
    assert padded.shape == (8, 3)
    assert padded[:5].all()
    assert not padded[5:].any()
    pooled, valid = fit_length(np.ones((20, 3), dtype=np.float32), Sampling("pairs", 1, 8, 1, fit="pool-or-pad"))
    assert (pooled.shape, valid) == ((8, 3), 8)


def _drawn(batches: Batches, epoch: int) -> list[np.ndarray]:
    return [batch.features.numpy() for batch in batches.epoch(epoch)]


@pytest.mark.parametrize("restart", ["epoch", "exhausted", "step"])
def test_an_epoch_is_the_same_whenever_it_is_drawn(restart: str) -> None:
    sampling = Sampling("pairs", 2, 8, epochs=3, restart=restart, steps_per_epoch=3)  # type: ignore[arg-type]
    batches = Batches(split([9] * 14), np.arange(14), sampling, seed=1, dataset="d")
    again = Batches(split([9] * 14), np.arange(14), sampling, seed=1, dataset="d")
    list(batches.epoch(0))
    for ours, theirs in zip(_drawn(batches, 2), _drawn(again, 2), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = Batches(split([9] * 14), np.arange(14), sampling, seed=2, dataset="d")
    assert any((a != b).any() for a, b in zip(_drawn(batches, 0), _drawn(other, 0), strict=True))


def test_exhausted_lists_restart_on_their_own_and_use_every_video() -> None:
    sampling = Sampling("pairs", 2, 4, epochs=1, restart="exhausted", steps_per_epoch=6)
    lengths = [4] * 10  # five normal, five abnormal: two full batches of each per pass
    batches = Batches(split(lengths), np.arange(10), sampling, seed=0, dataset="d")
    drawn = list(batches.epoch(0))
    assert len(drawn) == 6
    for first, second in zip(drawn[::2], drawn[1::2], strict=True):
        rows = np.concatenate([first.features[:2].numpy(), second.features[:2].numpy()])
        assert len(np.unique(rows.reshape(4, -1), axis=0)) == 4, "a pass draws without replacement"


def test_pairs_come_normal_first_and_a_large_batch_takes_the_whole_list() -> None:
    batches = Batches(split([4] * 7), np.arange(7), Sampling("pairs", 64, 4, 1), seed=0, dataset="d")
    assert batches.plan.steps_per_epoch == 1
    (batch,) = batches.epoch(0)
    assert batch.normal == 4
    assert batch.abnormal.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_mixed_sampling_keeps_the_short_last_batch() -> None:
    sampling = Sampling("mixed", 4, 4, 1, drop_last=False)
    batches = Batches(split([4] * 10), np.arange(10), sampling, seed=0, dataset="d")
    assert [len(batch.labels) for batch in batches.epoch(0)] == [4, 4, 2]


def test_a_split_without_abnormal_videos_is_refused() -> None:
    with pytest.raises(UserError, match="no abnormal videos"):
        Batches(split([4, 4, 4]), np.array([0, 2]), Sampling("pairs", 2, 4, 1), seed=0, dataset="d")


def test_validation_is_stratified_and_keeps_crops_together() -> None:
    data = split([4] * 40, crops=3)
    mask = validation_items(data, seed=3, dataset="d")
    by_video: dict[str, set[bool]] = {}
    for item, held in zip(data.items, mask, strict=True):
        by_video.setdefault(item.video, set()).add(bool(held))
    assert all(len(values) == 1 for values in by_video.values())
    held_out = {item.video: item.labels for item, held in zip(data.items, mask, strict=True) if held}
    assert sorted(held_out.values()) == [(0,)] * 3 + [(1,)] * 3
    assert (mask == validation_items(data, seed=3, dataset="d")).all()
    part = data.subset(mask)
    first = part.items[0]
    whole = next(i for i, item in enumerate(data.items) if item == first)
    np.testing.assert_array_equal(part.item_features(0), data.item_features(whole))
