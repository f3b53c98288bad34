"""A page for each run of a board, and the scores that it loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.records.truth import GroundTruth
from harness.report.leaderboard.board import Board
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site import links, pictures
from harness.report.site.reproduce import command
from harness.report.site.run_scores import run_script, videos_script
from harness.report.site.run_statistics import RESAMPLES, RunStatistics, run_statistics
from harness.report.site.timelines import Timelines


def run_pages(
    environment: Any,
    page: Any,
    board: Board,
    cited: Mapping[str, str],
    truth: GroundTruth | None,
    scores: Timelines | None,
    artifact: Artifact,
    cache: Path | None,
) -> Iterator[tuple[str, str]]:
    """Yield address and text of the pages of a board's runs and of what they load.

    Args:
        environment: of the site's templates.
        page: the board as the templates know it, with its `slug`.
        board: the board.
        cited: method -> BibTeX.
        truth: of the board, None where it is not here; then there are neither curves nor scores.
        scores: the board's timelines, None without ground truth.
        artifact: gives a file of a run.
        cache: where costly statistics are kept, None: nowhere.
    """
    template, videos = environment.get_template("run.html.j2"), f"data/{page.slug}/videos.js"
    known: dict[str, RunStatistics] = {}
    if truth is not None and scores is not None:
        known = run_statistics([run for row in board.rows for run in row.members], truth, artifact, cache)
        yield videos, videos_script(truth)
    for row in board.rows:
        for tracked in row.members:
            run = tracked.result
            own, there = known.get(run.id, RunStatistics()), scores.runs.get(run.id) if scores else None
            if there:
                yield links.run_data(run.id), run_script(there, own.roc, own.pr)
            text = template.render(
                root="../",
                page=page,
                row=row,
                run=run,
                known=own,
                scores=links.run_data(run.id) if there else "",
                videos=videos,
                resamples=RESAMPLES,
                plots=pictures.training_plots([(f"seed {run.seed}", tracked)], artifact),
                command=command(board, row, [run.seed]),
                bibtex=cited[row.method],
            )
            yield links.run(run.id), text
