"""`harness compare`: what separates two or more sides on one test set, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options, selectors
from harness.cli.options import Device, Json, Out, TextTower
from harness.errors import UserError


def compare(
    sides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Two or more of: run id or directory, method (all its runs in --out), checkpoint, METHOD:FILE "
            "(official weights), prediction file. ONE+OTHER joins the seeds of one side.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset card: a name or a YAML file; default: the ground truth that runs and files bring."),
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods that are sides too: names, aliases or groups, comma-separated.")
    ] = None,
    features: Annotated[str | None, typer.Option(help="Feature set of the card; default: that of the runs.")] = None,
    seeds: selectors.Seeds = None,
    preset: selectors.Preset = None,
    selection: selectors.Selection = None,
    where: selectors.WhereText = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Directory of the card's annotation files: compare prediction files without importing."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained page to this file.")] = None,
    resamples: Annotated[
        int, typer.Option(help="Resamples of the test videos, and permutations.", min=100, max=1_000_000)
    ] = 1000,
    text_tower: TextTower = None,
    device: Device = "cpu",
    out: Out = Path("runs"),
    json: Json = False,
) -> None:
    """Compare sides: differences with intervals and verdicts, class by class and video by video.

    Selectors such as --preset choose among the runs of a method; what is named by itself is taken as it is.
    """
    from harness.api.compare import comparison_of
    from harness.comparison.page import coverage
    from harness.comparison.sources import CompareRequest
    from harness.comparison.terminal import print_comparison
    from harness.console import out as screen
    from harness.console import print_json, progress, say, tell

    if html is not None and html.is_dir():
        raise UserError(f"--html {html}: is a directory; name the file to write")
    only = selectors.run_filter(None, methods, features, seeds, preset, selection, where)
    request = CompareRequest(tuple(sides or ()), dataset, features, root, text_tower, options.device(device), out, only)
    compared = comparison_of(request, resamples, say, progress)
    found, met = compared.result, compared.sides
    if html is not None:
        compared.write_page(html)
    if json:
        sources = [
            {**standing, "sources": list(source)}
            for standing, source in zip(found.as_json()["sides"], met.sources, strict=True)
        ]
        test = {"dataset": met.truth.dataset, "videos": len(met.truth.videos), "frames": met.truth.frames}
        cautions = [*met.cautions, *coverage(found.standings, met.truth)]
        tested = {**test, "excluded": list(met.truth.excluded)}
        print_json({**found.as_json(), "sides": sources, "test": tested, "cautions": cautions})
        return
    print_comparison(found, met.truth, met.cautions, screen)
    if html is not None:
        tell(f"wrote {html}")
