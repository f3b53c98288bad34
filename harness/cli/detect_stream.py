"""`harness detect --stream`: scores of a growing file, a camera or an address, snippet by snippet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.detect.detection import Detection
    from harness.detect.events import Threshold
    from harness.detect.scorer import Scorer
    from harness.records.protocol import Protocol
    from harness.video.extract import Setup

_WORDS = {
    "snippet": "scores each snippet by itself: these are the scores of the whole video",
    "past": "scores a snippet by it and those before: these are the scores of the whole video",
    "whole": "looks at the whole video: with more of it, the scores of earlier snippets would be others",
}


def watch(
    videos: list[str], scorer: Scorer, protocol: Protocol, setup: Setup, threshold: Threshold, out: Path, idle: float
) -> Detection:
    """Print each snippet's score as it comes and keep them in `out/stream.csv`; Ctrl-C ends it.

    Raises:
        UserError: there is not exactly one source, or it cannot be opened or gives no snippet.
    """
    from harness.console import say, tell
    from harness.detect.detection import Detection
    from harness.detect.events import find_events
    from harness.detect.stream import Clocked, needs_of, stream
    from harness.io.atomic import check_room
    from harness.video.growing import live

    if len(videos) != 1:
        raise UserError(f"--stream: reads one source at a time, got {len(videos)}")
    check_room(out)
    scored = []
    with live(videos[0], idle) as (source, fps), (out / "stream.csv").open("w", encoding="utf-8", newline="") as kept:
        needs = needs_of(scorer)
        say(f"{scorer.header.method} {_WORDS[needs]}")
        table = csv.writer(kept, lineterminator="\n")
        table.writerow(("snippet", "start", "score", "event", "latency"))
        frames = Clocked(source)
        try:
            for each in stream(frames, scorer, protocol, setup, needs):
                scored.append(each)
                start = each.index * scorer.stride
                when = f"{start / fps:.1f} s" if fps else f"frame {start:,}"
                event = each.score > threshold.value
                tell(f"{when}: {each.score:.4g}{' EVENT' if event else ''}, after {1000 * each.latency:.0f} ms")
                table.writerow((each.index, f"{start / fps:.3f}" if fps else "", f"{each.score:.6g}", int(event),
                                f"{each.latency:.4f}"))  # fmt: skip
                kept.flush()
        except KeyboardInterrupt:
            say("stopped")
    if not scored:
        raise UserError(f"{videos[0]}: no snippet of {scorer.stride} frames came")
    scores = np.array([each.score for each in scored], dtype=np.float32)
    edges = np.minimum(np.arange(len(scores) + 1) * scorer.stride, max(frames.count, 1))
    given = [each.probabilities for each in scored if each.probabilities is not None]
    probabilities = np.stack(given) if given else None
    classes = scorer.card.class_names if given else ()
    name = Path(videos[0]).stem or "stream"
    events = find_events(name, scores, edges, threshold.value, classes, probabilities)
    half, most = (1000 * float(np.percentile([each.latency for each in scored], share)) for share in (50, 95))
    say(f"{len(scored):,} snippets; from its last frame to a snippet's score {half:.0f} ms (p50), {most:.0f} ms (p95)")
    return Detection(name, scores, edges, classes, probabilities, events, fps)
