"""Frames of rows against a reckoning of their own, for every way to take frames, every tail and many lengths."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.records.protocol import Frames
from harness.video.pipeline import Pipeline
from harness.video.rows import Done, Row, rows_of
from tests.video.doubles import Film, colours, numbers, opening, protocol

LENGTHS = (0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 300)
RULES = [
    {"snippet": snippet, "take": take, "tail": tail, "step": step if take == "every" else 1}
    for snippet, take, tail, step in itertools.product(
        (1, 2, 3, 16), ("all", "first", "middle", "every"), ("kept", "dropped", "repeated", "last-lost"), (1, 3, 16)
    )
    if (take == "every" or step == 1) and step <= snippet
]


def expected(length: int, snippet: int, take: str, tail: str, step: int) -> list[float]:
    """The mean number of each row's frames."""
    chosen = {
        "all": list(range(snippet)),
        "first": [0],
        "middle": [snippet // 2],
        "every": list(range(0, snippet, step)),
    }[take]
    whole = np.arange(length // snippet * snippet).reshape(-1, snippet)[:, chosen].mean(axis=1).tolist()
    rest = list(range(length // snippet * snippet, length))
    if tail == "last-lost" and not rest:
        return whole[:-1]
    if not rest or tail in ("dropped", "last-lost"):
        return whole
    if tail == "repeated":
        return [*whole, float(np.mean([(rest + rest[-1:] * snippet)[place] for place in chosen]))]
    there = [rest[place] for place in chosen if place < len(rest)]
    return [*whole, float(np.mean(there or rest[len(rest) // 2]))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_rows_are_made_of_the_frames_that_the_rule_says(rule: dict[str, object]) -> None:
    tower = colours()
    for length in LENGTHS:
        rows = rows_of(Film(length), protocol(**rule), tower)
        wanted = expected(length, **rule)  # type: ignore[arg-type]
        assert rows.shape == (len(wanted), 1, 3)
        assert Frames(**rule).rows(length) == len(wanted)  # type: ignore[arg-type]
        np.testing.assert_allclose(numbers(rows), wanted, atol=2e-4, err_msg=str(length))


@pytest.mark.parametrize(("readers", "threads", "batch"), [(1, 1, 8), (3, 2, 5), (2, 3, 1), (4, 1, 64)])
def test_videos_side_by_side_give_the_rows_of_each_alone(readers: int, threads: int, batch: int) -> None:
    tower, rule = colours(), protocol(snippet=16, tail="last-lost")
    lengths = [0, 1, 300, 16, 17, 31, 32, 33, 5, 100, 160]
    films = {str(number): Film(length, broken=length == 100) for number, length in enumerate(lengths)}
    pipeline = Pipeline(rule, tower, batch, readers, opening(films), threads=threads)  # type: ignore[arg-type]
    rows: dict[int, list[Row]] = {number: [] for number in range(len(lengths))}
    done: dict[int, Done] = {}
    for item in pipeline.run((number, Path(str(number))) for number in range(len(lengths))):
        assert item.video not in done, "nothing comes behind the end of a video"
        if isinstance(item, Done):
            done[item.video] = item
        else:
            rows[item.video].append(item)
    for number, length in enumerate(lengths):
        if length in (0, 100):
            assert done[number].facts is None
            assert done[number].error.startswith(f"{number}: ")
            continue
        alone = rows_of(Film(length), rule, tower)
        assert [row.row for row in rows[number]] == list(range(len(alone)))
        assert all(np.array_equal(row.values, one) for row, one in zip(rows[number], alone, strict=True))
    assert pipeline.meter.frames == sum(lengths) - 100


def test_a_frame_that_is_smaller_than_the_crops_leaves_its_video_out() -> None:
    rule = protocol().model_copy(update={"crops": protocol().crops.model_copy(update={"size": 8})})
    with pytest.raises(UserError, match="a picture of 4x4 is smaller than the crops of 8"):
        rows_of(Film(3), rule, colours(8))
