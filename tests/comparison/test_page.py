"""The page and the terminal form of a comparison."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest

from harness.comparison.cautions import Summary, short_places, summarised
from harness.comparison.overlays import overlays
from harness.comparison.page import chance, deciding, headline, page, share
from harness.comparison.result import ComparisonResult
from harness.comparison.statistics import Side, compare_sides
from harness.comparison.terminal import print_comparison
from harness.console import Screen
from harness.records.truth import GroundTruth
from tests.fakes import fake_predictions, fake_truth
from tests.report.test_write import CLASSES, HOSTILE, Page

TRUTH = fake_truth("toy", CLASSES)
NAMES = ("alpha", HOSTILE, "gamma")


def _sides(truth: GroundTruth = TRUTH) -> list[Side]:
    return [Side(name, tuple(fake_predictions(truth, seed, name) for seed in (0, 1))) for name in NAMES]


@pytest.fixture(scope="module")
def found() -> ComparisonResult:
    return compare_sides(_sides(), TRUTH, resamples=100, permutations=100)


def test_the_page_loads_nothing_and_shows_names_as_text(found: ComparisonResult) -> None:
    text = page(found, _sides(), [("run",), (HOSTILE,), ("runs/x",)], TRUTH, ["mind " + HOSTILE])
    shown = Page(text)
    assert shown.loads == []
    assert shown.handlers == []
    assert "img" not in shown.tags
    assert len(shown.scripts) == 3
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text)
    assert "mind " + HOSTILE in shown.text
    data = json.loads(shown.scripts[0])
    assert data["names"] == list(NAMES)
    assert [pair["names"] for pair in data["pairs"]] == [[v.a, v.b] for v in found.videos]
    for pair, videos in zip(data["pairs"], found.videos, strict=True):
        assert [video["name"] for video in pair["videos"]] == [name for name, _ in videos.shown]


def test_places_are_named_without_where_this_machine_keeps_them(found: ComparisonResult) -> None:
    sources = [("/home/me/runs/a-1", "/home/me/runs/a-2"), ("/home/me/x/scores.csv",), ("/home/you/x/scores.csv",)]
    assert short_places(sources) == [("a-1", "a-2"), ("me/x/scores.csv",), ("you/x/scores.csv",)]
    text = page(found, _sides(), sources, TRUTH, [])
    assert "<code>you/x/scores.csv</code>" in text
    assert "/home" not in text
    assert short_places([("runs/a",), ("runs/b", "./runs/c")]) == [("a",), ("b", "c")]


def test_warnings_of_one_kind_are_one_line_with_the_list_behind_it(found: ComparisonResult) -> None:
    left_out = [f"{name}: {count} videos left out." for name, count in zip(NAMES, (3, 12, 3), strict=True)]
    flattered = [f"{name} chose its weights on the test set, which flatters it." for name in NAMES[:2]]
    cautions = ["Synthetic.", *left_out, *flattered, "gamma: its data set is incomplete, 3 of 4 videos."]
    assert summarised(cautions, NAMES) == [
        Summary("Synthetic."),
        Summary("3 times: \N{HORIZONTAL ELLIPSIS} videos left out.", tuple(left_out)),
        Summary("2 times: chose its weights on the test set, which flatters it.", tuple(flattered)),
        Summary(cautions[-1]),
    ]
    text = page(found, _sides(), [()] * 3, TRUTH, cautions)
    caution = text[text.index('<div class="caution"') :].partition("</div>")[0]
    assert caution.count("<details>") == 2
    assert "<summary>2 times: chose its weights on the test set, which flatters it.</summary>" in caution
    assert all(caution.count(name) == 2 for name in ("alpha",))


def test_every_verdict_stands_on_the_page_and_in_the_terminal(found: ComparisonResult) -> None:
    text = page(found, _sides(), [()] * 3, TRUTH, [])
    assert sorted(Page(text).values) == sorted(verdict.difference.value for verdict in found.verdicts)
    assert text.count("corrected for 3 pairs within each metric (Holm)") >= 2
    console = Screen(width=100, record=True, file=io.StringIO())
    print_comparison(found, TRUTH, ["mind"], console)
    plain = console.export_text()
    for verdict in found.verdicts:
        assert f"{100 * verdict.difference.value:+.2f}" in plain
    assert "caution: mind" in plain
    assert "corrected for 3 pairs" in " ".join(plain.split())


def test_sentences_name_the_leader_first(found: ComparisonResult) -> None:
    standings = {standing.name: standing for standing in found.standings}
    for verdict in found.verdicts:
        sentence = headline(verdict, standings[verdict.a], standings[verdict.b])
        leader = verdict.a if verdict.difference.value >= 0 else verdict.b
        start = f"{leader} is ahead of" if verdict.sure else f"No evidence of a difference between {leader} and"
        assert sentence.startswith(start)
    pair = found.videos[0]
    first = next(v for v in found.verdicts if (v.a, v.b, v.metric) == (pair.a, pair.b, "frame_auc"))
    assert pair.deciding is not None
    assert deciding(pair, first, 12).startswith(f"Without {len(pair.deciding)} of 12 videos the lead of ")


def test_overlays_hold_scores_and_ranks_on_shared_steps(found: ComparisonResult) -> None:
    sides = _sides()
    (video, *_), *_ = overlays(found.videos, sides, TRUTH)
    line = video["lines"][0]
    assert len(video["edges"]) == len(line["scores"]) + 1 == len(line["ranks"]) + 1
    assert video["edges"][-1] == video["frames"]
    pooled = np.mean([p.scores.astype(float) for p in sides[0].predictions], axis=0)
    index = sides[0].predictions[0].videos.index(video["name"])
    own = pooled[sides[0].predictions[0].rows(index)]
    assert line["scores"] == [round(float(value), 3) for value in own]
    assert line["ranks"][int(np.argmax(own))] == pytest.approx(np.mean(pooled < own.max()), abs=0.02)


def test_probabilities_are_never_certain() -> None:
    assert (share(0.0), share(0.5), share(0.996), share(1.0)) == ("<1%", "50%", ">99%", ">99%")
    assert (chance(0.0001), chance(0.014)) == ("<0.001", "0.014")
