"""The whole way from video to verdict on synthetic clips: features, bank, training, detection, page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from harness.api.run import run
from harness.data.cards import find_card
from harness.data.extracted import with_extraction
from harness.data.importers import import_features
from harness.data.own_cards import keep_card
from harness.detect.detect import Found, detect
from harness.detect.events import threshold_of
from harness.detect.scorer import load_scorer
from harness.errors import HarnessError
from harness.records.result import RunResult
from harness.registry import one_method
from harness.video.data_set import extract_listed
from harness.video.extract import Say, Setup, Tick
from harness.video.extraction import Extraction
from harness.video.new_data_set import write_data_set
from harness.video.protocols import find_protocol
from harness.video.sources import find_videos
from harness.video.synthetic import SEED, clips, write_clips
from harness.video.towers.embedded import embedded_tower

NAME, PROTOCOL = "demo-video", "vadclip-centre-crop"
_CLIPS, _UNSEEN = 30, 4


def demo_video(
    out: Path, method: str, say: Say, progress: Callable[[str], AbstractContextManager[Tick]]
) -> tuple[RunResult, Found]:
    """Make clips below `out`, train `method` on them, and find the events of clips that it never saw.

    Raises:
        UserError: the method is not known, or videos cannot be written here.
        HarnessError: the training failed.
    """
    one_method(method)
    learned, unseen = out / "clips", out / "unseen"
    with progress("draw clips") as tick:
        write_clips(learned, clips(_CLIPS, SEED), SEED, tick)
        write_clips(unseen, clips(_UNSEEN, SEED + 1, "unseen"), SEED, tick)
    path = write_data_set(learned, None, NAME, say)
    card, protocol, setup = find_card(str(path)), find_protocol(PROTOCOL), Setup(embedded_tower())
    say(f"image tower: {setup.tower.name}")
    report = extract_listed(card, [str(learned)], learned, protocol, setup, say, progress)
    card, features = with_extraction(card, Extraction(report.directory).recipe)
    with progress("import") as tick:
        import_features(card, features, learned, tick, replace=True, extracted=report.directory)
    keep_card(card, path)
    say(f"train {method}")
    board = run(method, NAME, features=features, out=out / "runs")
    result = next((row.members[0].result for each in board.boards for row in each.rows if row.members), None)
    if result is None:
        failure = next(iter(board.failures), None)
        raise HarnessError(f"{method} on {NAME}: {failure or 'no run finished'}")
    scorer = load_scorer(result.directory, out / "runs", say)
    threshold = threshold_of(None, None, scorer.run, scorer.card.fps)
    found = detect(
        find_videos([str(unseen)]), scorer, protocol, setup, threshold, out / "detections", ["csv"], say, progress
    )
    return result, found
