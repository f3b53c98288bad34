"""A page for each run of a board, and the scores that it loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board, Row
from harness.report.leaderboard.cautions import of_boards
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site import links, pictures
from harness.report.site.installed import Installed
from harness.report.site.kept import Kept
from harness.report.site.keys import Keys, about_run
from harness.report.site.reproduce import command
from harness.report.site.run_scores import run_script, videos_script
from harness.report.site.run_statistics import RESAMPLES, RunStatistics, run_statistics
from harness.report.site.shown_board import ShownBoard
from harness.report.site.written import Part, Text
from harness.tracking.tracker import TrackedRun


def run_pages(
    environment: Any,
    page: ShownBoard,
    installed: Mapping[str, Installed],
    truth: GroundTruth | None,
    artifact: Artifact,
    cache: Path | None,
    keys: Keys,
    kept: Kept,
) -> Iterator[Part]:
    """Begin to compute what the pages of a board's runs show, and return the pages and what they load.

    Args:
        environment: of the site's templates.
        page: the board.
        installed: its methods by name.
        truth: of the board, None where it is not here; then there are neither curves nor scores.
        artifact: gives a file of a run.
        cache: where costly statistics are kept, None: nowhere.
        keys: what each page is made of.
        kept: what an earlier report left of them; of those nothing is computed.
    """
    board = page.board
    template, url, videos = environment.get_template("run.html.j2"), page.url, f"data/{page.slug}/videos.js"
    of_truth, general, made = board.rows[0].members[0], of_boards(board), list[tuple[str, Board, Row, TrackedRun]]()
    for row in board.rows:
        about = about_run(board, row, general)
        made += [(keys.run(about, url, row, run, of_truth), about, row, run) for run in row.members]
    new = [run for key, _, _, run in made if kept.files(key) is None]
    coming = run_statistics(new, truth, artifact, cache) if truth is not None else dict[str, RunStatistics]

    def shown(known: Mapping[str, RunStatistics], about: Board, row: Row, tracked: TrackedRun) -> Iterator[Text]:
        run, own = tracked.result, known.get(tracked.result.id, RunStatistics())
        if own.scores:
            yield links.run_data(run.id), run_script(own.scores, own.roc, own.pr)
        text = template.render(
            root="../",
            board=about,
            url=url,
            row=row,
            run=run,
            known=own,
            scores=links.run_data(run.id) if own.scores else "",
            videos=videos,
            resamples=RESAMPLES,
            plots=pictures.training_plots([tracked], artifact, None),
            command=command(board, row, [run.seed], page.changed(row, installed[row.method])),
            bibtex=installed[row.method].bibtex,
        )
        yield links.run(run.id), text

    def parts() -> Iterator[Part]:
        if truth is not None:
            yield Part(keys.videos(board, url), partial(_videos, videos, truth))
        known = coming()
        for key, about, row, run in made:
            yield Part(key, partial(shown, known, about, row, run))

    return parts()


def _videos(address: str, truth: GroundTruth) -> Iterator[Text]:
    yield address, videos_script(truth)
