"""A results repository of many submissions: `python -m tests.benchmarks.big_board DIRECTORY [SUBMISSIONS]`.

Five seeds each, on ten boards of 290 test videos, with the records that `harness board add` writes: `rows_of` makes the
rows and `arrays_bytes` what they are ranked by. Only the scores are made up, a pool of them for each board, of which
every submission draws its seeds; their files themselves are not written. Equal arguments give equal bytes.

Prints, for this machine, the seconds that indexing and the site take, and the bytes.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

from harness.boards import rows
from harness.boards.index import boards
from harness.boards.initial import init
from harness.boards.record import FORMAT, Record, arrays_bytes
from harness.boards.repository import Repository
from harness.boards.rows import rows_of
from harness.boards.site import write_site
from harness.data.cards import find_card
from harness.io.digests import digest
from harness.metrics.protocol import evaluate
from harness.records.history import History
from harness.records.predictions import Predictions
from harness.records.truth import Event, GroundTruth, VideoTruth
from harness.report.leaderboard.uncertainty import on_plan
from harness.submissions.bundle import Entry, truth_hash
from harness.submissions.judge import Judgement
from harness.submissions.statement import Statement
from tests.fakes import ALIGNMENT, CLASSES, fake_result

BOARDS, SEEDS, VIDEOS = 10, 5, 290
# Predictors of different quality on each board, and predictions of each.
QUALITIES, POOL = 24, 8


@cache
def truth_of(board: int) -> GroundTruth:
    """290 videos of 8 to 32 snippets, half of them with an event."""
    rng = np.random.default_rng([7, board])
    videos = {}
    for index in range(VIDEOS):
        frames, label = 16 * int(rng.integers(8, 33)), (1 + index % 4 // 2) * (index % 2)
        events = (Event(frames // 3, frames // 2, label),) if label else ()
        videos[f"video_{index:03d}"] = VideoTruth(frames, (label,), events)
    return GroundTruth(f"made-{board}", CLASSES, ALIGNMENT, videos)


@cache
def predictions_of(board: int, quality: int, number: int) -> Predictions:
    """Scores that follow the truth the better the higher `quality`."""
    truth, rng = truth_of(board), np.random.default_rng([board, quality, number])
    parts = [video.mask()[::16] for video in truth.videos.values()]
    own = 0.25 + 0.5 * quality / QUALITIES + rng.normal(0, 0.012)
    scores = np.concatenate([own * part + rng.normal(0, 0.35, len(part)) for part in parts]).astype(np.float32)
    offsets = np.cumsum([0, *(len(part) for part in parts)])
    return Predictions(tuple(truth.videos), offsets, scores, truth.alignment, truth.classes, None)


_evaluated = cache(lambda *pool: evaluate(predictions_of(*pool), truth_of(pool[0])))


def judged(number: int, rng: np.random.Generator) -> list[Judgement]:
    """Return the runs of one submission, as if they had been verified."""
    board, quality = number % BOARDS, int(rng.integers(QUALITIES))
    truth, found = truth_of(board), []
    for seed, drawn in enumerate(rng.choice(POOL, SEEDS, replace=False).tolist()):
        pool = (board, quality, drawn)
        selection = "oracle" if number % 17 == 3 else "last"
        result = fake_result(
            method=f"team-{number:04d}", dataset=truth.dataset, seed=seed, selection=selection, config={"lr": 1e-4}
        )
        metrics = {**result.metrics, **_evaluated(*pool).metrics}
        result = result.model_copy(update={"metrics": metrics, "videos": VIDEOS, "frames": truth.frames})
        entry = Entry(result.id, result, predictions_of(*pool), History(), truth_hash(truth), ())
        found.append(Judgement(entry, "accepted", (), truth, metrics, True))
    return found


def make(directory: Path, submissions: int) -> Repository:
    """Write a repository with the records of so many submissions."""
    init(directory, ["demo"], "Made up")
    repository = Repository(directory)
    cards = {f"made-{board}": find_card("demo").model_copy(update={"name": f"made-{board}"}) for board in range(BOARDS)}
    known: dict[int, dict[str, np.ndarray]] = {}

    def remembered(predictions: Predictions, truth: GroundTruth) -> dict[str, np.ndarray]:
        if id(predictions) not in known:  # `predictions_of` keeps them all
            known[id(predictions)] = on_plan(predictions, truth)
        return known[id(predictions)]

    rng = np.random.default_rng(0)
    with mock.patch.object(rows, "on_plan", remembered):
        for number in range(submissions):
            said = Statement(
                team=f"Team {int(rng.integers(1, submissions // 3 + 2))}",
                method=f"Method {number:04d}",
                training_data=(f"made-{number % BOARDS}",),
                text_tower="none",
                contamination="none known",
            )
            found, arrays = rows_of(judged(number, rng), cards, repository.settings, said)
            sha256 = digest(str(number))
            record = Record(
                **{"format": FORMAT, "id": sha256[:16], "sha256": sha256, "size": 1_400_000, "harness": "made up"},
                **{"verified": True, "unverified": (), "statement": said, "rows": tuple(found)},
            )
            repository.record_path(record.id).write_bytes(record.to_bytes())
            repository.arrays_path(record.id).write_bytes(arrays_bytes(arrays))
    return repository


def _bytes(place: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in place.rglob(pattern) if path.is_file())


def main(directory: Path, submissions: int) -> None:
    """Make, index, write the site, and say what it took."""
    begin = time.perf_counter()
    repository = Repository(directory) if (directory / "board.yaml").is_file() else make(directory, submissions)
    print(f"{submissions} submissions: {time.perf_counter() - begin:.1f} s to make")
    begin = time.perf_counter()
    records = list(repository.records())
    read = time.perf_counter()
    found = boards(records, repository.arrays)
    done = time.perf_counter()
    groups = sum(len({placed.rank for placed in board.rows}) for board in found)
    print(f"index: records {read - begin:.1f} s, arrays and ranks {done - read:.1f} s; {groups} groups of equal rank")
    place = directory / "records"
    print(f"records: {_bytes(place, '*.json'):,} bytes of JSON, {_bytes(place, '*.npz'):,} of arrays")
    site = directory.parent / f"{directory.name}-site"
    begin = time.perf_counter()
    write_site(replace(repository), site)
    print(f"site {time.perf_counter() - begin:.1f} s; {_bytes(site, '*'):,} bytes in all")
    print(f"before anything is asked for: {_bytes(site, '*') - _bytes(site / 'data', '*'):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5000)
