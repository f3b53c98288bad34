"""The site: an overview, and one page for each board, method and run. It works from disk and loads nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UserError
from harness.identity.check_record import FIELD
from harness.parity.record import fidelity
from harness.paths import report_assets_dir
from harness.records.truth import GroundTruth
from harness.report import quoting
from harness.report.leaderboard.board import Board, Leaderboard, Row
from harness.report.leaderboard.critical import diagram
from harness.report.leaderboard.questions import Question
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site import classes, links, pictures, render
from harness.report.site.citation import bibtex
from harness.report.site.pareto import pareto_plot
from harness.report.site.reproduce import command
from harness.report.site.run_pages import run_pages
from harness.report.site.speeds import URL, speeds_page
from harness.report.site.timelines import Timelines, timelines
from harness.report.site.written import write_pages
from harness.report.study.page import address
from harness.report.study.page import page as study_page
from harness.report.study.recorded import studies

# Rows that the pictures show before anyone chooses.
SHOWN = 5
_ASSETS = (
    "report.css",
    "site.css",
    "run.css",
    "theme.js",
    "table.js",
    "chart.js",
    "timeline.js",
    "figure.js",
    "curves.js",
)
_FOLDERS = ("assets", "data", "boards", "methods", "runs", "studies")
_VENDOR = ("uPlot.min.css", "uPlot.iife.min.js", "uPlot.LICENSE")


@dataclass(frozen=True)
class _Page:
    """A board and its address."""

    board: Board
    slug: str
    names: list[str]
    scales: dict[str, tuple[float, float]]

    @property
    def url(self) -> str:
        return f"boards/{self.slug}.html"

    @property
    def provenance(self) -> dict[str, str]:
        """Everything that its rows were computed with, and their seeds."""
        found: dict[str, dict[str, None]] = {}
        for row in self.board.rows:
            for name, values in {"seeds": map(str, row.seeds), "code": row.code, **row.provenance}.items():
                if name not in ("fidelity", FIELD):
                    found.setdefault(name, {}).update(dict.fromkeys(value for value in values if value))
        return {name: ", ".join(sorted(values)) for name, values in found.items()}

    @property
    def note(self) -> str:
        """The first caution, if any."""
        return self.board.cautions[0] if self.board.cautions else ""


@dataclass(frozen=True)
class _Entry:
    """A method's row on a board."""

    page: _Page
    row: Row
    command: str
    plots: list[Any]


@dataclass
class _Method:
    """A method with what its card says; `card` is None where it is not installed."""

    name: str
    title: str
    card: Any = None
    fidelity: str = ""
    entries: list[_Entry] = field(default_factory=list)

    @property
    def bibtex(self) -> str:
        return bibtex(self.card) if self.card else ""


def write_site(
    leaderboard: Leaderboard, artifact: Artifact, directory: Path, formats: Sequence[str], cache: Path | None = None
) -> list[Path]:
    """Write the site into `directory` and return its first pages; pages of an earlier one are replaced or removed.

    The first of all is the overview; that of throughput follows where something was measured.

    Costly statistics are kept in the directory `cache`, if one is given.

    Raises:
        Unwritable: the directory cannot be written.
    """
    files = write_pages(directory, pages(leaderboard, artifact, formats, cache), _FOLDERS)
    first = [directory / name for name in ("index.html", URL)]
    if URL not in files:
        first.pop().unlink(missing_ok=True)
    return first


def pages(
    leaderboard: Leaderboard, artifact: Artifact, formats: Sequence[str], cache: Path | None = None
) -> Iterator[tuple[str, str]]:
    """Yield address from the root and text of every file of the site, one at a time: a site may be large."""
    throughput = leaderboard.throughput
    environment = render.environment(formats, URL if throughput else "")
    boards = [
        _Page(board, slug, render.row_names(board), render.scales(board))
        for board, slug in zip(leaderboard.boards, links.board_slugs(leaderboard.boards), strict=True)
    ]
    methods = _methods(boards, artifact)
    yield from _assets().items()
    for page in boards:
        truth = _truth(page.board, artifact)
        scores = None if truth is None else timelines(page.board, page.names, truth, artifact)
        yield from _board(environment, page, truth, scores, artifact, cache)
        if not page.board.asked.part:  # whose runs stand on the board of all
            cited = {name: method.bibtex for name, method in methods.items()}
            yield from run_pages(environment, page, page.board, cited, truth, scores, artifact, cache)
    template = environment.get_template("method.html.j2")
    shared = {"root": "../", "metrics": ("frame_auc", "frame_ap", "abnormal_auc", "video_auc", "map_avg")}
    for method in methods.values():
        yield links.method(method.name), template.render(method=method, **shared)
    found = studies(leaderboard.boards, artifact, cache)
    for each in found:
        yield f"studies/{address(each.study)}", study_page(each.study, each.command, "../index.html")
    at = {id(page.board): page for page in boards}
    index = environment.get_template("index.html.j2").render(
        root="",
        # What a study made worse stands on its page, in the company of what it is compared with.
        pages=sorted([page for page in boards if not page.board.asked.disturbance], key=_usual_first),
        studies=[(each.study, address(each.study), [at[id(board)] for board in each.boards]) for each in found],
        methods=list(methods.values()),
        runs=len({run for page in boards for row in page.board.rows for run in row.runs}),
        transfers=leaderboard.transfers,
        critical=diagram(leaderboard.boards),
        failures=leaderboard.failures,
        notices=leaderboard.notices,
        measured=sum(len(board.rows) for board in throughput),
    )
    if throughput:
        yield URL, speeds_page(environment, throughput, methods)
    yield "index.html", index


def _board(
    environment: Any,
    page: _Page,
    truth: GroundTruth | None,
    scores: Timelines | None,
    artifact: Artifact,
    cache: Path | None,
) -> Iterator[tuple[str, str]]:
    board, names = page.board, page.names
    context: dict[str, Any] = {
        "plots": [],
        "confusions": [],
        "timeline": "",
        "scores": "",
        "data": f"data/{page.slug}",
        "looks": pictures.looks_plot(board, names, artifact),
        "pareto": pareto_plot(board, names),
        "absent": [],
    }
    if truth is None or scores is None:
        context["absent"].append(
            "Ground truth of these test videos is not here, so there are no curves, no timelines and no confusion."
        )
    else:
        try:
            context["plots"] = pictures.score_plots(board, names, truth, artifact, cache)
            context["confusions"] = classes.confusions(board, names, truth, artifact, cache)
        except HarnessError:  # the board's cautions already say that predictions do not fit
            pass
        index = scores.index
        context["absent"] += _absent([row["name"] for row in index["rows"] if not row["there"]])
        if any(row["there"] for row in index["rows"]):
            context["timeline"] = quoting.script_json(index)
            for number, part in enumerate(scores.parts()):
                yield f"data/{page.slug}/{number}.js", part
    text = environment.get_template("board.html.j2").render(
        root="../",
        board=board,
        names=names,
        scales=page.scales,
        shown=[key for key, row in enumerate(board.rows) if row.honest][:SHOWN],
        class_names=classes.class_names(board),
        commands=[command(board, row, row.seeds) for row in board.rows],
        **context,
    )
    yield page.url, text


def _absent(names: Sequence[str]) -> list[str]:
    """What a reader must know before the pictures, of rows whose scores video by video are missing."""
    return [f"Scores of single videos are not here, or do not fit together, for: {', '.join(names)}."] if names else []


def _usual_first(page: _Page) -> tuple[str, str, bool]:
    """By data set and features, the usual question before the harder ones."""
    board = page.board
    return board.dataset, board.features, board.asked != Question()


def _methods(boards: Sequence[_Page], artifact: Artifact) -> dict[str, _Method]:
    found: dict[str, _Method] = {}
    for page in boards:
        for row in page.board.rows:
            seeds = [(f"seed {member.result.seed}", member) for member in row.members]
            entry = _Entry(page, row, command(page.board, row, row.seeds), pictures.training_plots(seeds, artifact))
            found.setdefault(row.method, _method(row)).entries.append(entry)
    return dict(sorted(found.items(), key=lambda item: item[1].title.lower()))


def _method(row: Row) -> _Method:
    from harness.registry import method_class

    try:
        cls = method_class(row.method)
        return _Method(row.method, cls.card.title, cls.card, fidelity(cls))
    except (KeyError, UserError):
        return _Method(row.method, row.method)


def _truth(board: Board, artifact: Artifact) -> GroundTruth | None:
    try:
        return board.asked.truth(GroundTruth.load(artifact(board.rows[0].members[0], "truth.json")))
    except HarnessError:
        return None


def _assets() -> dict[str, str]:
    home = report_assets_dir()
    paths = [*(home / name for name in _ASSETS), *(home / "vendor" / name for name in _VENDOR)]
    return {f"assets/{path.name}": path.read_text(encoding="utf-8") for path in paths}
