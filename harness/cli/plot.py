"""`harness plot` and `harness embed`: figures for papers, from runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.options import Device, OutRead, TextTower
from harness.errors import UserError

To = Annotated[Path, typer.Option(help="The file to write, .svg or .pdf.")]


def plot(
    run: Annotated[list[str], typer.Argument(help="Run directories or run ids in --out, one line each.")],
    to: To,
    video: Annotated[
        str | None, typer.Option(help="Test video; default: the annotated one whose scores vary most.")
    ] = None,
    fps: Annotated[float, typer.Option(min=0, help="Frames per second, for an axis in seconds.")] = 0.0,
    out: OutRead = None,
) -> None:
    """Draw the scores of runs over the time of one test video, with its events, as SVG or PDF."""
    from harness.console import tell
    from harness.drawing.canvas import check_ending
    from harness.drawing.scores import chosen_video, draw_scores
    from harness.drawing.sources import named_runs

    check_ending(to)
    found, truth = named_runs(run, out or Path("runs"))
    chosen = chosen_video(video, [predictions for _, predictions in found], truth)
    draw_scores(found, truth, chosen, fps).save(to)
    tell(f"wrote {to}: {chosen}, {len(found)} run{'s' if len(found) != 1 else ''}")


def embed(
    run: Annotated[str, typer.Argument(help="Run directory or run id in --out.")],
    to: To,
    learned: Annotated[
        bool, typer.Option("--learned", help="What the method's last layer gets, in place of the features.")
    ] = False,
    colour: Annotated[str, typer.Option(help="truth (in an event or not) or class.")] = "truth",
    how: Annotated[str, typer.Option("--by", help="tsne or pca.")] = "tsne",
    points: Annotated[int, typer.Option(min=4, help="Snippets at most, drawn at random.")] = 2000,
    text_tower: TextTower = None,
    device: Device = "cpu",
    out: OutRead = None,
) -> None:
    """Draw the snippets of a run's test set as a map of their features; labels only colour it."""
    from harness.console import say, tell
    from harness.drawing.canvas import check_ending
    from harness.drawing.feature_map import draw_map, on_a_plane
    from harness.drawing.learned import learned_snippets
    from harness.drawing.snippets import given_snippets
    from harness.drawing.sources import learned_of, split_of

    check_ending(to)
    shade, by = options.one_of("--colour", colour, ("truth", "class")), options.one_of("--by", how, ("tsne", "pca"))
    if options.device(device) != "cpu":
        raise UserError("--device cuda: a map is made on the CPU")
    place = out or Path("runs")
    opened, split = split_of(run, place)
    if learned:
        snippets = learned_snippets(learned_of(opened, place, text_tower, say), split, points)
    else:
        snippets = given_snippets(split, points)
    words = {"tsne": "t-SNE", "pca": "principal components"}[by]
    draw_map(snippets, on_a_plane(snippets.rows, by), opened.truth(), shade, words).save(to)
    tell(f"wrote {to}: {len(snippets.videos):,} snippets, {snippets.what}, {words}")
