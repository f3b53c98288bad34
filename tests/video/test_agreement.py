"""Comparison of features with those of others, and finding out how they were made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.video.agreement import agreement, agreements, verdict
from harness.video.extract import Report, Setup
from harness.video.feature_input import Video, find_features
from harness.video.protocols import find_protocol
from harness.video.towers.tower import ImageTower
from harness.video.variants import best_words, try_variants
from tests.video.films import film

Rows = np.ndarray


def rows(seed: int, length: int = 6, crops: int = 2) -> Rows:
    return np.random.default_rng(seed).standard_normal((length, crops, 16)).astype(np.float32)


def test_the_same_features_agree() -> None:
    ours = rows(0)
    found = agreement("v", ours, ours)
    assert found.cosine == pytest.approx((1.0, 1.0))
    assert (found.norms, found.places, found.reordered) == (pytest.approx(1.0), (0, 1), False)
    assert "the same but for rounding (mean cosine 1.0000" in verdict([found])
    assert "of equal lengths" in verdict([found])


def test_lengths_orders_and_norms_are_told() -> None:
    ours = rows(0)
    found = agreement("v", ours, 2 * ours[:-1, ::-1])
    assert found.places == (1, 0)
    assert found.reordered
    said = verdict([found])
    assert "theirs one snippet shorter: a last one that is not full is dropped there" in said
    assert "their crops are ours in the order 1, 0" in said
    assert "their norms are 2 of ours" in said
    assert "6 snippets to 5" in str(found) or "6 and 5 snippets" in str(found)


def test_other_features_are_of_another_kind() -> None:
    assert "of another kind" in verdict([agreement("v", rows(0), rows(1))])
    with pytest.raises(UserError, match="ours are 16-d, theirs 8-d"):
        agreement("v", rows(0), rows(0)[..., :8])
    with pytest.raises(UserError, match=r"no video is in both \(ours a, theirs b\)"):
        agreements([Video("a", rows(0))], [Video("b", rows(0))])


def test_how_published_features_were_made_is_found_out(
    extracted: Callable[..., Report], tower: ImageTower, tmp_path: Path
) -> None:
    path = film(tmp_path / "v.mp4", frames=24, size=(96, 64))
    protocol, setup = find_protocol("vadclip-centre-crop"), Setup(tower)
    said = {
        "vadclip-centre-crop": "they were made so: as vadclip-centre-crop makes them",
        "first-frame": "same pictures, the first of a snippet's frames instead of the mean of them",
        "centre-frame": "same pictures, the middle one of a snippet's frames instead of the mean of them",
        "vadclip-complete-only": "same pictures, a last snippet that is not full dropped",
    }
    for name, words in said.items():
        report = extracted(tmp_path / name, path, protocol=name)
        (given,) = find_features(report.directory).videos()
        tried = try_variants(path, given.features[:, :1], protocol, setup)
        assert words in best_words(tried, protocol), name
    noise = np.random.default_rng(0).standard_normal((5, 1, tower.dim)).astype(np.float32)
    assert "none fits" in best_words(try_variants(path, noise, protocol, setup), protocol)
    with pytest.raises(UserError, match="name theirs with --image-tower"):
        try_variants(path, noise[..., :100], protocol, setup)
