"""The site: an overview, and one page for each board, method and run. It works from disk and loads nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.paths import report_assets_dir
from harness.records.truth import GroundTruth
from harness.report import quoting
from harness.report.leaderboard.board import Board, Leaderboard
from harness.report.leaderboard.critical import diagram
from harness.report.leaderboard.questions import Question
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site import classes, links, pictures, render
from harness.report.site.installed import Installed
from harness.report.site.kept import Kept
from harness.report.site.keys import Keys
from harness.report.site.method_pages import Method, method_page, methods_of
from harness.report.site.pareto import pareto_plot
from harness.report.site.reproduce import command
from harness.report.site.row_pictures import Pictures, row_pictures
from harness.report.site.run_pages import run_pages
from harness.report.site.shown_board import ShownBoard
from harness.report.site.speeds import URL, speeds_page
from harness.report.site.timelines import Timelines
from harness.report.site.written import Part, Text, write_parts
from harness.report.study.page import address
from harness.report.study.page import page as study_page
from harness.report.study.recorded import Recorded, studies

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


def write_site(
    leaderboard: Leaderboard,
    artifact: Artifact,
    directory: Path,
    formats: Sequence[str],
    cache: Path | None = None,
    kept: Kept | None = None,
) -> list[Path]:
    """Write the site into `directory` and return its first pages; pages of an earlier one are replaced or removed.

    The first of all is the overview; that of throughput follows where something was measured.

    Costly statistics are kept in the directory `cache`, if one is given. What an earlier report left as it is to be is
    neither made nor read again, as far as `kept` knows it.

    Raises:
        Unwritable: the directory cannot be written.
    """
    kept = kept or Kept(directory)
    files = write_parts(directory, site_parts(leaderboard, artifact, formats, cache, kept), _FOLDERS, kept)
    first = [directory / name for name in ("index.html", URL)]
    if URL not in files:
        first.pop().unlink(missing_ok=True)
    return first


def site_parts(
    leaderboard: Leaderboard, artifact: Artifact, formats: Sequence[str], cache: Path | None, kept: Kept
) -> Iterator[Part]:
    """Yield every part of the site, one at a time: a site may be large."""
    throughput = leaderboard.throughput
    speeds = URL if throughput else ""
    environment, keys = render.environment(formats, speeds), Keys(kept.facts, formats, speeds)
    boards = [
        ShownBoard(board, slug, render.row_names(board), render.scales(board))
        for board, slug in zip(leaderboard.boards, links.board_slugs(leaderboard.boards), strict=True)
    ]
    methods = methods_of(boards, kept.facts.edition if kept.facts else "", cache)
    installed = {name: method.installed for name, method in methods.items()}
    yield Part(keys.assets(), _assets)
    # While the pages of one board are made, what those of the next one show is being computed.
    coming = deque[Iterator[Part]]()
    for page in boards:
        coming.append(_board_parts(environment, page, installed, artifact, cache, keys, kept))
        if len(coming) > 1:
            yield from coming.popleft()
    for parts in coming:
        yield from parts
    for method in methods.values():
        said = [(entry.page.board, entry.page.url, entry.page.scales, entry.row) for entry in method.entries]
        yield Part(keys.method(said), partial(method_page, environment, method, artifact, cache))
    found = studies(leaderboard.boards, artifact, cache)
    yield Part("", partial(_overview, environment, leaderboard, boards, methods, found, cache))


def _board_parts(
    environment: Any,
    page: ShownBoard,
    installed: Mapping[str, Installed],
    artifact: Artifact,
    cache: Path | None,
    keys: Keys,
    kept: Kept,
) -> Iterator[Part]:
    """Begin to compute what a board and the pages of its runs show, and return them."""
    truth, key = _truth(page.board, artifact), keys.board(page.board, page.url)
    drawn: Pictures | None = None  # of a page that stands already nothing is computed
    if truth is not None and kept.files(key) is None:
        drawn = row_pictures(page.board.rows, truth, artifact, cache)
    board = Part(key, partial(_board, environment, page, installed, truth, drawn, artifact, cache))
    if page.board.asked.part:  # whose runs stand on the board of all
        return iter((board,))
    return chain((board,), run_pages(environment, page, installed, truth, artifact, cache, keys, kept))


def _overview(
    environment: Any,
    leaderboard: Leaderboard,
    boards: Sequence[ShownBoard],
    methods: Mapping[str, Method],
    found: Sequence[Recorded],
    cache: Path | None,
) -> Iterator[Text]:
    """What says something of everything: the overview, studies, throughput."""
    throughput = leaderboard.throughput
    for each in found:
        yield f"studies/{address(each.study)}", study_page(each.study, each.command, "../index.html")
    if throughput:
        yield URL, speeds_page(environment, throughput, methods)
    at = {id(page.board): page for page in boards}
    index = environment.get_template("index.html.j2").render(
        root="",
        # What a study made worse stands on its page, in the company of what it is compared with.
        pages=sorted([page for page in boards if not page.board.asked.disturbance], key=_usual_first),
        studies=[(each.study, address(each.study), [at[id(board)] for board in each.boards]) for each in found],
        methods=list(methods.values()),
        runs=len({run for page in boards for row in page.board.rows for run in row.runs}),
        transfers=leaderboard.transfers,
        critical=diagram(leaderboard.boards, cache),
        failures=leaderboard.failures,
        notices=leaderboard.notices,
        measured=sum(len(board.rows) for board in throughput),
    )
    yield "index.html", index


def _board(
    environment: Any,
    page: ShownBoard,
    installed: Mapping[str, Installed],
    truth: GroundTruth | None,
    drawn: Pictures | None,
    artifact: Artifact,
    cache: Path | None,
) -> Iterator[Text]:
    board, names = page.board, page.names
    context: dict[str, Any] = {
        "plots": [],
        "confusions": [],
        "timeline": "",
        "scores": "",
        "data": f"data/{page.slug}",
        "looks": pictures.looks_plot(board, names, artifact, cache),
        "pareto": pareto_plot(board, names),
        "absent": [],
    }
    if truth is None:
        context["absent"].append(
            "Ground truth of these test videos is not here, so there are no curves, no timelines and no confusion."
        )
    else:
        found = (drawn or row_pictures(board.rows, truth, artifact, cache))()
        context["plots"] = pictures.score_plots(names, found, truth)
        context["confusions"] = classes.confusions(names, [len(row.seeds) for row in board.rows], found, truth)
        lines = Timelines(truth, [row.get("line") for row in found], names)
        index = lines.index
        context["absent"] += _absent([row["name"] for row in index["rows"] if not row["there"]])
        if any(row["there"] for row in index["rows"]):
            context["timeline"] = quoting.script_json(index)
            for number, part in enumerate(lines.parts()):
                yield f"data/{page.slug}/{number}.js", part
    text = environment.get_template("board.html.j2").render(
        root="../",
        board=board,
        names=names,
        scales=page.scales,
        shown=[key for key, row in enumerate(board.rows) if row.honest][:SHOWN],
        class_names=classes.class_names(board),
        commands=[command(board, row, row.seeds, page.changed(row, installed[row.method])) for row in board.rows],
        **context,
    )
    yield page.url, text


def _absent(names: Sequence[str]) -> list[str]:
    """What a reader must know before the pictures, of rows whose scores video by video are missing."""
    return [f"Scores of single videos are not here, or do not fit together, for: {', '.join(names)}."] if names else []


def _usual_first(page: ShownBoard) -> tuple[str, str, bool]:
    """By data set and features, the usual question before the harder ones."""
    board = page.board
    return board.dataset, board.features, board.asked != Question()


def _truth(board: Board, artifact: Artifact) -> GroundTruth | None:
    try:
        return board.asked.truth(GroundTruth.load(artifact(board.rows[0].members[0], "truth.json")))
    except HarnessError:
        return None


def _assets() -> Iterator[Text]:
    home = report_assets_dir()
    for path in [*(home / name for name in _ASSETS), *(home / "vendor" / name for name in _VENDOR)]:
        yield f"assets/{path.name}", path.read_text(encoding="utf-8")
