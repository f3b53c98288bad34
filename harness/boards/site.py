"""A repository as a site: boards with their first rows, the others and each submission's details when asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.index import Board, Placed, boards
from harness.boards.record import Record, Row
from harness.boards.repository import Repository
from harness.boards.reruns import Rerun
from harness.paths import report_assets_dir
from harness.report.figures import main_metrics, ordered
from harness.report.quoting import script_json
from harness.report.site import render
from harness.report.site.written import write_pages

# Rows that a page shows before anyone asks for more.
SHOWN = 100
# Digits of an id that name the file with the details of its submission.
_BUCKET = 2
_ASSETS = (
    *("report.css", "site.css", "theme.js"),
    *("repository/repository.css", "repository/board.js", "repository/submission.js"),
)
_FOLDERS = ("assets", "boards", "data")


@dataclass(frozen=True)
class _Context:
    """What all pages need: the repository, its boards, reruns by id, where submissions are downloaded."""

    environment: Any
    repository: Repository
    boards: Sequence[Board]
    reruns: Mapping[str, Sequence[Rerun]]
    downloads: str

    def badges(self, placed: Placed) -> list[tuple[str, str]]:
        """Badges of a row with the class that gives each its colour."""
        found = [(badge, "test" if badge == "published outside" else "fair") for badge in placed.row.badges]
        again = [each for each in self.reruns.get(placed.record.id, ()) if each.row == placed.number]
        if again:
            word = {"reproduced": "rerun-verified"}.get(again[-1].outcome, f"rerun {again[-1].outcome}")
            found.append((word, "fair" if again[-1].outcome == "reproduced" else "test"))
        if not placed.row.verified:
            found.append(("claimed", "test"))
        return found


def write_site(repository: Repository, out: Path, downloads: str = "") -> Path:
    """Write the site into `out` and return its first page; pages of an earlier one are replaced or removed.

    `downloads` is the address below which `submissions/` can be had.

    Raises:
        UserError: rules or a record are damaged, or no results repository is there.
        Unwritable: the directory cannot be written.
    """
    _ = repository.settings
    write_pages(out, pages(repository, downloads), _FOLDERS)
    return out / "index.html"


def pages(repository: Repository, downloads: str = "") -> Iterator[tuple[str, str]]:
    """Yield address from the root and text of every file of the site."""
    records = list(repository.records())
    context = _Context(_environment(), repository, boards(records, repository.arrays), repository.reruns(), downloads)
    context.environment.globals.update(badges=context.badges, reruns=context.reruns, downloads=downloads)
    for name in _ASSETS:
        yield f"assets/{Path(name).name}", (report_assets_dir() / name).read_text(encoding="utf-8")
    for board in context.boards:
        yield from _board(context, board)
    yield from _details(context, records)
    yield "submission.html", _template(context, "submission").render(root="", settings=repository.settings)
    teams = {record.statement.team for record in records if record.statement}
    yield (
        "index.html",
        _template(context, "index").render(
            root="",
            settings=repository.settings,
            boards=[board for board in context.boards if not board.earlier],
            earlier=[board for board in context.boards if board.earlier],
            submissions=len(records),
            teams=len(teams),
            scales={board.slug: _scale(board, board.primary) for board in context.boards},
            cards=sorted(path.stem for path in (repository.directory / "cards").glob("*.yaml")),
        ),
    )


def _environment() -> Any:
    made = render.environment(())
    made.globals.update(styles=("report.css", "site.css", "repository.css"), shown_rows=SHOWN, ordered=ordered)
    return made


def _template(context: _Context, name: str) -> Any:
    return context.environment.get_template(f"repository/{name}.html.j2")


def _board(context: _Context, board: Board) -> Iterator[tuple[str, str]]:
    metrics = _metrics(board)
    scales = {name: _scale(board, name) for name in metrics}
    row = _template(context, "row").module.row
    shared = {"metrics": metrics, "primary": board.primary, "scales": scales, "root": "../"}
    html = [str(row(placed, above, **shared)) for above, placed in zip((None, *board.rows), board.rows, strict=False)]
    yield f"data/boards/{board.slug}.js", f"harnessBoard({script_json(_rows(context, board, metrics, html))});\n"
    seeds = sorted({len(placed.row.seeds) for placed in board.rows})
    yield (
        f"boards/{board.slug}.html",
        _template(context, "board").render(
            root="../",
            board=board,
            first=board.rows[0].row,
            rows=html[:SHOWN],
            metrics=metrics,
            settings=context.repository.settings,
            selections=sorted({placed.row.selection for placed in board.rows}),
            seeds=seeds,
            words=sorted({word for placed in board.rows for word, _ in context.badges(placed)}),
        ),
    )


def _rows(context: _Context, board: Board, metrics: Sequence[str], html: Sequence[str]) -> list[dict[str, Any]]:
    """What a page searches, filters, orders and shows rows by."""
    found = []
    for placed, text in zip(board.rows, html, strict=True):
        row, said = placed.row, placed.record.statement
        names = (row.method, row.title, placed.record.id, *((said.method, said.team) if said else ()))
        found.append(
            {
                "html": text,
                "find": " ".join(names).lower(),
                "selection": row.selection,
                "seeds": len(row.seeds),
                "badges": [word for word, _ in context.badges(placed)],
                "values": [row.figures[name].mean if name in row.figures else None for name in metrics],
            }
        )
    return found


def _details(context: _Context, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """The details of all submissions, in files by the beginning of their ids."""
    places = {(placed.record.id, placed.number): (board, placed) for board in context.boards for placed in board.rows}
    detail = _template(context, "detail").module.detail
    buckets: dict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        own = [places[record.id, number] for number in range(len(record.rows))]
        # A script holds one line; what is set as it stands keeps its lines all the same.
        text = str(detail(record, own, root="")).replace("\n", "&#10;")
        buckets[record.id[:_BUCKET]][record.id] = text
    for name, bucket in sorted(buckets.items()):
        yield f"data/submissions/{name}.js", f"harnessSubmissions({script_json(bucket)});\n"


def _metrics(board: Board) -> tuple[str, ...]:
    """The metrics of a board's table, the primary one first."""
    there = {name for placed in board.rows for name in placed.row.figures}
    others = [name for name in main_metrics(there) if name != board.primary]
    return tuple(name for name in (board.primary, *others) if name in there)


def _scale(board: Board, metric: str) -> tuple[float, float]:
    """The range of the intervals of one metric, so that their bars can be compared by eye."""
    ends = [end for placed in board.rows[:SHOWN] for end in _ends(placed.row, metric)]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _ends(row: Row, metric: str) -> tuple[float, ...]:
    figure = row.figures.get(metric)
    return figure.widest or () if figure else ()
