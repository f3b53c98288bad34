"""The files of the report: what is in them, and that every number is the one of the predictions."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import statistics
import subprocess
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import UserError
from harness.metrics import histograms
from harness.metrics.curves import curves
from harness.metrics.frame import snippet_table
from harness.metrics.intervals import uncertainty
from harness.metrics.protocol import Evaluation, evaluate
from harness.metrics.variance import Estimate
from harness.records.alignment import Alignment
from harness.records.predictions import Predictions
from harness.records.truth import GroundTruth, VideoTruth
from harness.report.figures import percent
from harness.report.leaderboard import build as boards
from harness.report.leaderboard.board import Leaderboard
from harness.report.leaderboard.uncertainty import Resamples
from harness.report.site.run_statistics import RESAMPLES
from harness.report.write import write_report
from harness.tracking.tracker import TrackedRun
from tests.fakes import fake_result, fake_run
from tests.report.conftest import CLASSES, HOSTILE, Site


class Page(HTMLParser):
    """Tags, what they load, scripts, all text, the values of cells, and the numbers of runs.

    `numbers` holds (runs, "metric" or "class", name, value, text).
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.styles: list[str] = []
        self.values: list[float] = []
        self.scripts: list[str] = []
        self.numbers: list[list[Any]] = []
        self.text = ""
        self._runs: list[str] = []
        self._open: list[Any] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.loads += [value for name, value in named.items() if name in ("src", "href", "srcset", "action")]
        self.handlers += [name for name in named if name.startswith("on")]
        self.styles += [value for name, value in named.items() if name == "style"]
        if tag == "td" and re.fullmatch(r"[-\d.e]+", named.get("data-value", "")):
            self.values.append(float(named["data-value"]))
        if tag == "script":
            self.scripts.append("")
        if "data-run" in named:
            self._runs = [named["data-run"]]
        if "data-runs" in named:
            self._runs = named["data-runs"].split(" ")
        for kind in ("metric", "class"):
            if tag == "td" and f"data-{kind}" in named and named["data-value"]:
                self._open = [self._runs, kind, named[f"data-{kind}"], float(named["data-value"]), ""]
                self.numbers.append(self._open)

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem:
            self.scripts[-1] += data
        if self._open is not None:
            self._open[-1] += data
        self.text += data


def test_the_pages_load_only_the_sites_own_files(site: Site) -> None:
    for path in site.pages:
        page = Page(path.read_text(encoding="utf-8"))
        assert page.handlers == page.styles == [], "the policy of the pages refuses both"
        assert "img" not in page.tags
        for load in page.loads:
            target = (path.parent / load.partition("#")[0]).resolve()
            assert load.startswith("data:,") or load.startswith("#") or target.is_file(), load
            assert load.startswith("data:,") or target.is_relative_to(site.directory)
    assets = [path.read_text(encoding="utf-8") for path in (site.directory / "assets").glob("*.*s")]
    assert not any(re.search(r"url\(|@import|fetch\(|XMLHttpRequest", text) for text in assets)


def test_hostile_names_are_text(site: Site) -> None:
    assert HOSTILE in Page(site.text("index.html")).text
    (path,) = (site.directory / "boards").glob("toy*.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert HOSTILE in page.text
    assert "49 方法" not in page.text
    assert CLASSES[1] in page.text
    index = json.loads(next(script for script in page.scripts if script))
    assert tuple(index["classes"]) == CLASSES
    assert all(len(name) < 130 for name in (path.name for path in site.pages))


def test_every_number_is_recomputed_from_the_predictions(site: Site) -> None:
    @cache
    def recomputed(run: str) -> Evaluation:
        place = site.runs[run]
        return evaluate(Predictions.load(place / "predictions.npz"), GroundTruth.load(place / "truth.json"))

    ids = sorted(site.runs, key=len, reverse=True)

    def named(words: list[str]) -> list[str]:
        # The hostile id holds spaces itself.
        text = " ".join(words)
        return [run for run in ids if run in text]

    seen = 0
    for path in site.pages:
        for words, kind, name, value, text in Page(path.read_text(encoding="utf-8")).numbers:
            found = [recomputed(run) for run in named(words)]
            numbers = [(each.metrics if kind == "metric" else each.class_auc)[name] for each in found]
            assert value == statistics.fmean(numbers), (path.name, name)
            assert text.strip().startswith((percent(value), percent(value, 1))), (path.name, name, text)
            seen += 1
    runs, metrics = len(site.runs), len(site.leaderboard.boards[0].metrics)
    assert seen > runs * (metrics + len(CLASSES) - 1), "run pages alone hold that many"


def test_tables_hold_the_same_numbers(site: Site) -> None:
    rows = [(board, row) for board in site.leaderboard.boards for row in board.rows]
    lines = list(csv.DictReader(io.StringIO(site.text("leaderboard.csv"))))
    documents = [row for board in json.loads(site.text("leaderboard.json"))["boards"] for row in board["rows"]]
    for (board, row), line, document in zip(rows, lines, documents, strict=True):
        for name in board.metrics:
            mean = statistics.fmean(member.result.metrics[name] for member in row.members)
            assert float(line[name]) == mean
            assert document["metrics"][name]["mean"] == mean
        for table in ("leaderboard.md", "leaderboard.tex"):
            assert percent(row.metrics["frame_auc"].mean) in site.text(table)
        assert (line["rank"], line["family"]) == (str(row.rank or ""), row.family)


def test_what_a_reader_must_know_is_there(site: Site) -> None:
    (board,) = (site.directory / "boards").glob("toy*.html")
    for text in (board.read_text(encoding="utf-8"), site.text("leaderboard.md")):
        assert "Generated data, not a benchmark." in text
        assert "chose their weights on the test set" in text
    assert "Failed runs" in site.text("index.html")
    assert "gone_1, gone_2" in board.read_text(encoding="utf-8")
    run = next((site.directory / "runs").glob("vadclip-toy-s1-oracle*")).read_text(encoding="utf-8")
    for fact in ("Test CPU", "0" * 40, "f" * 64, "--seeds 1 --selection oracle", "eprint = {2308.11681}"):
        assert fact in run
    published = next((site.directory / "boards").glob("ucf-crime*.html")).read_text(encoding="utf-8")
    assert "88.02" in published


def test_an_earlier_site_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "report"
    shutil.copytree(site.directory, target)
    (target / "runs" / "old.html").write_text("old")
    (target / "notes.txt").write_text("mine")
    board = site.leaderboard.boards[-1]

    def artifact(run: TrackedRun, name: str) -> Path:
        return Path(run.artifacts) / name

    write_report(Leaderboard((board,)), artifact, target, ["html"])
    assert not (target / "runs" / "old.html").exists()
    assert (site.directory / "throughput.html").exists()
    assert not (target / "throughput.html").exists(), "nothing was measured now"
    assert len(list((target / "boards").iterdir())) == 1
    assert (target / "notes.txt").read_text() == "mine"


def test_markdown_tables_stay_tables(site: Site) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", site.text("leaderboard.md"), re.MULTILINE)
    assert len(tables) == len(site.leaderboard.boards) + len(site.leaderboard.throughput)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
        assert re.fullmatch(r"\|( ---:? \|)+", table.splitlines()[1]), "without this line it is no table"
    assert "<img" not in site.text("leaderboard.md")


def test_latex_marks_the_best_two_and_compiles(site: Site, tmp_path: Path) -> None:
    text = site.text("leaderboard.tex")
    for board, table in zip(site.leaderboard.boards, text.split(r"\begin{table}")[1:], strict=True):
        honest = [row.metrics["frame_auc"] for row in board.rows if row.selection == "last" and row.claim == "method"]
        best, second = sorted(honest, key=lambda figure: figure.mean, reverse=True)[:2]
        assert rf"$\mathbf{{{percent(best.mean)}}}\pm{percent(best.sd)}_{{[" in table
        assert rf"$\underline{{{percent(second.mean)}}}\pm{percent(second.sd)}_{{[" in table
        assert rf"^{{[{percent(best.videos_low, 1)},\,{percent(best.videos_high, 1)}]}}$" in table
        assert table.count(r"\toprule") == table.count(r"\bottomrule") == 1
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if engine is None:
        pytest.skip("needs pdflatex or tectonic")
    if "pdflatex" in engine and subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True).returncode:
        pytest.skip("needs the package booktabs")
    body = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\n\\end{document}\n"
    (tmp_path / "paper.tex").write_text(body, encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in engine else []
    done = subprocess.run([engine, *options, "paper.tex"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_page_of_a_run_has_intervals_of_these_weights_beside_its_numbers(site: Site) -> None:
    (run,) = (name for name in site.runs if name.startswith("rtfm-toy-s0"))
    page = Page(site.text(f"runs/{run}.html"))
    place = site.runs[run]
    truth = GroundTruth.load(place / "truth.json")
    predictions = Predictions.load(place / "predictions.npz")
    known = uncertainty(predictions, truth, RESAMPLES, histograms.resampled)
    own = [number for number in page.numbers if number[0] == [run]]
    assert len(own) > 15
    for _, kind, name, value, _ in own:
        estimate = (known.metrics if kind == "metric" else known.class_auc)[name]
        if isinstance(estimate, str):  # such as one that is the same on every resample
            assert name in ("video_auc", "map@0.4", "map@0.5", "map_strict@0.4", "map_strict@0.5")
            continue
        assert estimate.value == pytest.approx(value, abs=1e-9)
        low, high = estimate.interval_in_odds()
        assert f"{percent(round(low, 10))} to {percent(round(high, 10))}" in page.text
    script = json.loads(site.text(f"data/runs/{run}.js").removeprefix("harnessRun(").removesuffix(");\n"))
    assert len(script["videos"]) == len(truth.videos)
    drawn = curves([snippet_table(predictions, truth)])
    assert drawn is not None
    assert script["roc"] == pytest.approx(drawn.recall_at_false_alarms, abs=6e-4)
    assert script["pr"] == pytest.approx(drawn.precision_at_recall, abs=6e-4)


def test_a_large_board_stays_under_three_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alignment = Alignment(kind="stride", stride=16)
    classes = tuple(f"class {index}" for index in range(14))
    videos = {f"Some_Video_{i:03d}_x264": VideoTruth(16 * 40, (i % 14,)) for i in range(290)}
    truth = GroundTruth("large", classes, alignment, videos)
    offsets = np.arange(291) * 40
    rng = np.random.default_rng(0)
    runs = []
    for method in range(20):
        for seed in range(3):
            result = fake_result(method=f"method-{method:02d}", dataset="large", seed=seed, classes=classes)
            place = tmp_path / result.id
            scores = rng.random(offsets[-1]).astype(np.float32)
            probs = rng.random((offsets[-1], 14)).astype(np.float32) if method < 6 else None
            Predictions(tuple(videos), offsets, scores, alignment, classes, probs).save(place / "predictions.npz")
            truth.save(place / "truth.json")
            runs.append(TrackedRun(result.id, str(place), len(runs), result))

    def artifact(run: TrackedRun, name: str) -> Path:
        return Path(run.artifacts) / name

    # Their sizes are what counts here, not how they are computed.
    monkeypatch.setattr(boards, "ranks", lambda rows, *rest: [1] * len(rows))
    spread = Estimate(0.5, videos=1e-4, seeds=1e-4, shared=0.0, video_freedom=100.0, seed_freedom=2.0)
    monkeypatch.setattr(Resamples, "estimates", lambda *rest: {"frame_auc": spread, "frame_ap": spread})
    monkeypatch.setattr(Resamples, "difference", lambda *rest: spread)
    write_report(boards.build_leaderboard(runs, [], artifact), artifact, tmp_path / "report", ["html"])
    report = tmp_path / "report"
    assets = sum(path.stat().st_size for path in (report / "assets").iterdir())
    (folder,) = (report / "data").glob("large-*")
    parts = [path.stat().st_size for path in folder.glob("[0-9]*.js")]
    assert len(parts) == 290
    assert (folder / "videos.js").stat().st_size < 100_000
    runs = [path.stat().st_size for path in (report / "data" / "runs").iterdir()]
    assert len(runs) == 60
    assert max(runs) < 30_000
    for page in report.rglob("*.html"):
        assert page.stat().st_size + assets + max(parts) < 3_000_000, page
    assert sum(parts) < 15_000_000


def test_nothing_to_report_and_unknown_formats_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run to report"):
        write_report(Leaderboard(()), lambda run, name: tmp_path, tmp_path)
    with pytest.raises(UserError, match="--formats 'pdf': expected some of html"):
        write_report(Leaderboard(()), lambda run, name: tmp_path, tmp_path, ["pdf"])


def test_what_is_missing_is_said_before_the_pictures(tmp_path: Path) -> None:
    runs = [fake_run(tmp_path, method=method) for method in ("alpha", "beta")]

    def page(missing: str) -> str:
        def artifact(run: TrackedRun, name: str) -> Path:
            if f"{run.result.method}/{name}" in missing:
                raise UserError("not here")
            return tmp_path / run.result.id / name

        found = boards.build_leaderboard([TrackedRun(run.id, "", 0, run) for run in runs], [], artifact)
        write_report(found, artifact, tmp_path / "report", ["html"])
        (path,) = (tmp_path / "report" / "boards").iterdir()
        return path.read_text()

    assert "Not shown" not in page("")
    text = page("beta/predictions.npz")
    assert text.index("do not fit together, for: beta.") < text.index('class="chart', text.index('id="pictures"'))
    text = page("alpha/truth.json beta/truth.json")
    assert "Ground truth of these test videos is not here, so there are no curves" in text
    assert 'id="timeline"' not in text


def test_a_store_of_failures_alone_has_a_site(tmp_path: Path) -> None:
    failed = fake_result().model_copy(update={"status": "failed", "error": "out of memory"})
    found = boards.build_leaderboard([], [TrackedRun("f", "", 0, failed)], lambda run, name: tmp_path / name)
    (path,) = write_report(found, lambda run, name: tmp_path / name, tmp_path / "report", ["html"])
    assert "out of memory" in path.read_text()
