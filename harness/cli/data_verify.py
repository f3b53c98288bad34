"""`harness data verify`: is a bank what was imported, and do a vector or features of others say the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import options
from harness.cli.data_import import Features, Name
from harness.cli.extract import ImageTower
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.data.bank import Bank

_SHOWN = 10
# No features that the field shares are narrower.
_NARROWEST = 64


def verify(
    card: Name,
    features: Features = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A 0/1 ground-truth vector of the community (.npy), or features: a file or directory."),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(help="With features: the file of one video, to find out how they were made."),
    ] = None,
    image_tower: ImageTower = None,
    device: options.Device = "cpu",
) -> None:
    """Check that a bank still holds what was imported, or that a vector or features agree; exit code 1 if not."""
    from harness.console import tell
    from harness.data.cards import find_card, open_bank
    from harness.data.verify import verify as problems_of

    bank = open_bank(find_card(card), features)
    if video is not None and against is None:
        raise UserError("--video: belongs to --against FEATURES")
    if against is not None:
        if _is_vector(against, bank.card.features[bank.features_name].dim):
            _compare_truth(bank, against)
        else:
            _compare_features(bank, against, video, image_tower, device)
        return
    problems = problems_of(bank)
    for problem in problems:
        tell(problem)
    if problems:
        raise typer.Exit(1)
    tell(f"{bank.card.name}/{bank.features_name}: all files as imported, hash {bank.content_hash[:12]}")


def _is_vector(path: Path, dim: int) -> bool:
    """Whether a file is meant as a vector of labels: none that has rows as wide as features are."""
    from harness.data.arrays import read_array

    if not path.is_file():
        return False
    try:
        shape = read_array(path).shape
    except UserError:  # what reads vectors says why
        return True
    return not (len(shape) > 1 and (shape[-1] == dim or shape[-1] >= _NARROWEST))


def _compare_truth(bank: Bank, path: Path) -> None:
    from harness.console import tell
    from harness.data.compare import compare_truth, read_vector

    vector = read_vector(path)
    found = compare_truth(bank, vector)
    tell(f"{path.name}: {len(vector):,} labels, {int(vector.sum()):,} positive")
    tell(f"nearest: {found.convention}: {found.labels:,} labels, {len(found.differences)} videos differ")
    for difference in found.differences:
        tell(str(difference))
    if found.rest[0]:
        tell(f"behind our last video: {found.rest[0]:,} more labels, {found.rest[1]:,} positive")
    if found.differences or not found.fits:
        raise typer.Exit(1)


def _compare_features(bank: Bank, path: Path, video: Path | None, tower: str | None, device: str) -> None:
    from harness.console import tell
    from harness.video.agreement import SAME, agreements, verdict
    from harness.video.feature_input import FeatureInput, find_features

    theirs = {each.name: each for each in find_features(path, "--against").videos()}
    made = bank.card.features[bank.features_name].extraction
    found = agreements(FeatureInput(bank.path, made).videos(), theirs.values())
    for each in found[:_SHOWN]:
        tell(str(each))
    if found[_SHOWN:]:
        tell(f"and {len(found) - _SHOWN:,} more")
    tell(verdict(found))
    if video is not None:
        _try(video, theirs, made, tower, device)
    if min(each.worst for each in found) < SAME or any(each.ours != each.theirs for each in found):
        raise typer.Exit(1)


def _try(video: Path, theirs: dict[str, Any], made: Any, tower: str | None, device: str) -> None:
    from harness.cli.extract import setup_of
    from harness.console import tell
    from harness.data.spelling import listed_as, video_of
    from harness.video.protocols import find_protocol
    from harness.video.towers.loading import tower_for
    from harness.video.variants import best_words, try_variants

    name = listed_as(video_of(video.name), theirs)
    if name is None:
        raise UserError(f"--video {video}: the features have no video {video_of(video.name)}")
    protocol = made.protocol if made else find_protocol("vadclip")
    setup = setup_of(protocol, tower or tower_for(made), device, "fp32")
    tried = try_variants(video, theirs[name].features, protocol, setup)
    tell(f"{name}, {len(tried)} ways of making its features with {setup.tower.name}, the nearest:")
    for variant in tried[:3]:
        tell(f"  {variant}")
    tell(best_words(tried, protocol))
