from __future__ import annotations

import csv
import io
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.board import Leaderboard
from harness.report.leaderboard import build
from harness.report.write import FORMATS, write_report
from harness.track import TrackedRun
from tests.fakes import fake_result, fake_run

HOSTILE = "</script><img src=x onerror=alert(1)>|`*"
CLASSES = ("Normal", "<!--<script>alert(2)", "Road & Rail")


class Page(HTMLParser):
    """Tags, loads and embedded scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.values: list[float] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "script":
            self.scripts.append("")
        if tag == "td" and dict(attrs).get("data-value"):
            value = dict(attrs)["data-value"] or ""
            if re.fullmatch(r"[-\d.e]+", value):
                self.values.append(float(value))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem:
            self.scripts[-1] += data
        self.text += data


@pytest.fixture
def written(tmp_path: Path) -> tuple[Leaderboard, dict[str, str]]:
    results = [
        *(fake_run(tmp_path, seed=seed, method="alpha", excluded=("gone_1", "gone_2")) for seed in range(3)),
        *(
            fake_run(tmp_path / "b", seed=s, method="beta", selection="oracle", excluded=("gone_1", "gone_2"))
            for s in (0, 1)
        ),
    ]
    hostile = fake_run(tmp_path / "c", classes=CLASSES, excluded=("gone_1", "gone_2"))
    assert hostile.spec is not None
    spec = hostile.spec.model_copy(update={"method": HOSTILE, "config": {"x": HOSTILE}})
    results.append(hostile.model_copy(update={"method": HOSTILE, "spec": spec}))
    places = [*[tmp_path] * 3, *[tmp_path / "b"] * 2, tmp_path / "c"]
    runs = [
        TrackedRun(str(i), str(place / r.id), i, r) for i, (r, place) in enumerate(zip(results, places, strict=True))
    ]
    failed = fake_result(seed=5).model_copy(update={"status": "failed", "error": HOSTILE})

    def artifact(run: TrackedRun, name: str) -> Path:
        return Path(run.artifacts) / name

    board = build(runs, [TrackedRun("f", "", 9, failed)], artifact, {"toy": "Generated data, not a benchmark."})
    paths = write_report(board, artifact, tmp_path / "report", FORMATS)
    assert [path.name for path in paths] == [f"leaderboard.{name}" for name in FORMATS]
    return board, {path.suffix[1:]: path.read_text(encoding="utf-8") for path in paths}


def test_the_page_loads_nothing_and_shows_names_as_text(written: tuple[Leaderboard, dict[str, str]]) -> None:
    page = Page(written[1]["html"])
    assert page.loads == []
    assert page.handlers == []
    assert "img" not in page.tags
    assert len(page.scripts) == 3
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", written[1]["html"])
    assert HOSTILE in page.text
    assert len(written[1]["html"]) < 1_500_000


def test_embedded_scores_are_json(written: tuple[Leaderboard, dict[str, str]]) -> None:
    (data,) = json.loads(Page(written[1]["html"]).scripts[0])
    assert data["chosen"].startswith("All 12 test videos") or "chosen without a look" in data["chosen"]
    assert len(data["rows"]) == 3
    assert all(len(v["edges"]) == len(line) + 1 for v in data["videos"] for line in v["scores"])
    assert {name for v in data["videos"] for *_, name in v["events"]} <= set(CLASSES)


def test_every_number_is_the_mean_of_the_runs(written: tuple[Leaderboard, dict[str, str]]) -> None:
    board, texts = written
    page = Page(texts["html"])
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    for row, line in zip(board.boards[0].rows, rows, strict=True):
        for name in board.boards[0].metrics:
            mean = statistics.fmean(member.result.metrics[name] for member in row.members)
            assert mean in page.values
            assert f">{100 * mean:.2f}<" in texts["html"]
            assert float(line[name]) == mean
            assert (
                json.loads(texts["json"])["boards"][0]["rows"][board.boards[0].rows.index(row)]["metrics"][name]["mean"]
                == mean
            )
        for text in (texts["md"], texts["tex"]):
            assert f"{100 * row.metrics['frame_auc'].mean:.2f}" in text
        assert row.train_seconds in page.values
        assert row.parameters in page.values


def test_what_a_reader_must_know_is_there(written: tuple[Leaderboard, dict[str, str]]) -> None:
    for name in ("html", "md"):
        assert "Generated data, not a benchmark." in written[1][name]
        assert "chose their weights on the test set" in written[1][name]
        assert "Failed runs" in written[1][name]
    assert "2 videos without features" in written[1]["html"]
    assert "gone_1, gone_2" in written[1]["html"]
    assert "Test CPU" in written[1]["html"]


def test_markdown_tables_stay_tables(written: tuple[Leaderboard, dict[str, str]]) -> None:
    lines = [line for line in written[1]["md"].splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "<img" not in written[1]["md"]


def test_nothing_to_report_and_unknown_formats_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run to report"):
        write_report(Leaderboard(()), lambda run, name: tmp_path, tmp_path)
    with pytest.raises(UserError, match="--formats 'pdf': expected some of html"):
        write_report(Leaderboard(()), lambda run, name: tmp_path, tmp_path, ["pdf"])
