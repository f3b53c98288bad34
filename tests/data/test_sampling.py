"""Pooling, batches and the validation part."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from harness.errors import BrokenMethod, UserError
from harness.plugin import Sampling
from harness.training.fitting import draw_stretches, fit_length, place_clicks, pool_segments
from harness.training.sampling import Batches
from harness.training.validation import validation_items
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


def test_pick_rows_spans_first_to_last() -> None:
    video = np.arange(10, dtype=np.float32)[:, None]
    picked, valid = fit_length(video, Sampling("mixed", 1, 4, 1, fit="pick-or-pad"))
    assert picked[:, 0].tolist() == [0, 3, 6, 9]
    assert valid == 4
    padded, valid = fit_length(video[:3], Sampling("mixed", 1, 4, 1, fit="pick-or-pad"))
    assert padded[:, 0].tolist() == [0, 1, 2, 0]
    assert valid == 3


def test_stretches_are_consecutive_and_wrap_around() -> None:
    video = np.arange(100, dtype=np.float32)[:, None]
    for seed in range(20):
        rows = draw_stretches(video, 12, 4, np.random.default_rng(seed))[:, 0].reshape(3, 4)
        assert ((rows[:, 1:] - rows[:, :1]) % 100 == [[1, 2, 3]] * 3).all()
        starts = rows[:, 0]
        assert ((starts >= [0, 32, 64]) & (starts <= [29, 61, 93])).all()
    short = draw_stretches(video[:5], 12, 4, np.random.default_rng(0))[:, 0].reshape(3, 4)
    assert ((short[:, 1:] - short[:, :-1]) % 5 == 1).all()


def test_stretches_change_from_step_to_step_but_not_from_run_to_run() -> None:
    sampling = Sampling("pairs", 2, 4, 2, fit="stretches", stretch=2)
    first, again = (Batches(split([50] * 8), np.arange(8), sampling, seed=0, dataset="d") for _ in range(2))
    steps = [batch.features for epoch in range(2) for batch in first.epoch(epoch)]
    assert all(torch.equal(a, b.features) for a, b in zip(steps[2:], again.epoch(1), strict=True))
    assert not torch.equal(steps[0], steps[2])


def test_crops_of_a_video_stay_together() -> None:
    sampling = Sampling("pairs", 2, 4, 1, crops="together")
    source = split([4] * 8, crops=3)
    (batch, *_) = Batches(source, np.arange(24), sampling, seed=0, dataset="d").epoch(0)
    assert batch.crops == 3
    assert batch.features.shape[0] == 12
    assert batch.normal == 6
    drawn = [
        next(i for i in range(24) if torch.equal(torch.tensor(source.item_features(i)), row)) for row in batch.features
    ]
    assert all(a // 3 == b // 3 and b == a + 1 for a, b in zip(drawn[0::3], drawn[1::3], strict=True))


def test_unequal_crops_are_refused() -> None:
    with pytest.raises(UserError, match="2 to 3 crops"):
        Batches(
            split([4] * 8, crops=3), np.arange(23), Sampling("pairs", 2, 4, 1, crops="together"), seed=0, dataset="d"
        )


def test_lists_can_keep_their_order_and_the_longer_one_can_set_the_epoch() -> None:
    source = split([4] * 7)
    order = Batches(source, np.arange(7), Sampling("mixed", 3, 4, 2, restart="never"), seed=0, dataset="d")
    first, second = ([batch.features for batch in order.epoch(epoch)] for epoch in range(2))
    assert torch.equal(first[0], torch.stack([torch.tensor(source.item_features(i)) for i in range(3)]))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    longer = Batches(source, np.arange(7), Sampling("pairs", 1, 4, 1, epoch="longer"), seed=0, dataset="d")
    assert longer.plan.steps_per_epoch == max(longer.plan.list_batches) > min(longer.plan.list_batches)


def test_clicks_are_placed_in_the_official_order_of_operations() -> None:
    for length, segments in itertools.product((1, 7, 58, 199, 333, 999), (32, 200)):
        frames = range(1, 16 * length, max(1, length // 3))
        for frame in frames:
            placed = place_clicks((frame / 16,), length, segments)
            assert placed.nonzero()[0].tolist() == [int((frame / 16) / length * segments)]
    # Another order, another segment.
    differing = [
        (n, p) for n in range(1, 400) for p in range(16 * n) if int(p / 16 / n * 200) != int(p * 200 / (16 * n))
    ]
    n, p = differing[0]
    assert place_clicks((p / 16,), n, 200).argmax() == int(p / 16 / n * 200)


def test_clicks_beyond_the_end_and_at_the_start() -> None:
    assert place_clicks((5.0, 12.0), 10, 4).tolist() == [0, 0, 1, 1]
    assert place_clicks((0.0, 5.0), 10, 4).tolist() == [0, 0, 0, 0]
    assert place_clicks((0.5,), 10, 4).tolist() == [1, 0, 0, 0]
    assert place_clicks((), 10, 4).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("fit", "rows"), [("pool", 8), ("pool-or-pad", 4)])
def test_clicks_lie_where_their_snippets_went(fit: str, rows: int) -> None:
    sampling = Sampling("pairs", 2, 8, 1, fit=fit, restart="never")  # type: ignore[arg-type]
    clicked = dataclasses.replace(split([4, 4, 4, 16]), glances={"v01": (1.5,), "v03": (1.5, 15.9)})
    (batch,) = Batches(clicked, np.arange(4), sampling, 0, "d", clicks=True).epoch(0)
    assert batch.clicks is not None
    expected = torch.zeros(4, 8)
    expected[2, int(1.5 / 4 * rows)] = expected[3, 0] = expected[3, 7] = 1
    assert torch.equal(batch.clicks, expected)


def test_nobody_gets_clicks_who_did_not_ask_or_where_there_are_none() -> None:
    sampling = Sampling("pairs", 2, 8, 1)
    clicked = dataclasses.replace(split([4, 4, 4, 16]), glances={"v01": (1.5,)})
    assert all(batch.clicks is None for batch in Batches(clicked, np.arange(4), sampling, 0, "d").epoch(0))
    plain = Batches(split([4, 4, 4, 16]), np.arange(4), sampling, 0, "d", clicks=True)
    assert all(batch.clicks is None for batch in plain.epoch(0))
    # A part of the split, such as that of the rule val, keeps the clicks of its videos.
    assert clicked.subset(np.array([False, True, True, False])).glances == {"v01": (1.5,)}


@pytest.mark.parametrize("fit", ["pick-or-pad", "stretches"])
def test_clicks_need_pooled_videos(fit: str) -> None:
    with pytest.raises(BrokenMethod, match=f"not where Sampling.fit is '{fit}'"):
        Batches(split([4, 4]), np.arange(2), Sampling("pairs", 1, 8, 1, fit=fit), 0, "d", clicks=True)  # type: ignore[arg-type]
