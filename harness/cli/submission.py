"""`harness submit` and `harness verify-submission`: runs in one file, and whether they hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import selectors
from harness.cli.options import Json, OutRead, renamed
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.submissions.judge import Judgement


def submit(
    run: Annotated[
        list[str] | None,
        typer.Argument(help="Run directory, run id, or method (all its finished runs).", show_default=False),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="The file to write, .zip.")] = None,
    dataset: selectors.Datasets = None,
    methods: selectors.Methods = None,
    features: selectors.Features = None,
    seeds: selectors.Seeds = None,
    preset: selectors.Preset = None,
    selection: selectors.Selection = None,
    where: selectors.WhereText = None,
    out: OutRead = None,
    runs: Annotated[Path | None, typer.Option(hidden=True)] = None,
    statement: Annotated[
        Path | None,
        typer.Option(help="YAML file: team, method, training data; a results repository asks for it."),
    ] = None,
    json: Json = False,
) -> None:
    """Pack finished runs into one file that another harness can verify: scores, settings, provenance.

    Runs are named, or chosen by selectors such as --methods and --dataset.
    """
    from harness.console import print_json, tell
    from harness.io.digests import file_digest
    from harness.submissions.pack import find_runs, pack
    from harness.submissions.statement import read_statement

    # Until now --out was the file, and --runs the directory.
    if out is not None and out.suffix == ".zip" and to is None and not out.is_dir():
        to, out = renamed("--out", "--to", out), None
    place = out or Path("runs") if runs is None else renamed("--runs", "--out", runs)
    if to is None or to.suffix != ".zip":
        raise UserError(f"--to {to}: expected a name that ends in .zip" if to else "name the file to write: --to F.zip")
    only = selectors.run_filter(dataset, methods, features, seeds, preset, selection, where)
    if not run and only.empty:
        raise UserError("name runs or methods, or choose runs with --methods, --dataset, --seeds, --preset or --where")
    said = read_statement(statement) if statement else None
    names = pack(find_runs(run or (), place, only), to, said)
    size, sha256 = to.stat().st_size, file_digest(to)
    if json:
        print_json({"file": str(to), "runs": names, "bytes": size, "sha256": sha256})
        return
    for name in names:
        tell(name)
    tell(f"wrote {to}: {len(names)} run{'s' if len(names) != 1 else ''}, {size / 1e6:.1f} MB, sha256 {sha256}")


def verify_submission(
    file: Annotated[Path, typer.Argument(help="What `harness submit` wrote.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Dataset card that the runs must be of: a name or a YAML file; default: the one they name."),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of annotation files, for data sets that are not imported; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Compute every metric of a submission again, from its scores and the ground truth that is here.

    Exit code 0: every run holds; 1: one does not; 2: the file is no submission, or a run could not be verified here.
    """
    from harness.console import print_json, tell
    from harness.data.cards import find_card
    from harness.submissions.bundle import read
    from harness.submissions.judge import judge

    card = find_card(dataset) if dataset else None
    judged = [judge(entry, card, root or ()) for entry in read(file)]
    verdicts = [each.verdict for each in judged]
    overall = next((word for word in ("rejected", "not verified") if word in verdicts), "accepted")
    if json:
        print_json({"file": str(file), "verdict": overall, "runs": [_document(each) for each in judged]})
    else:
        for each in judged:
            _show(each)
        tell(f"{file}: {overall} ({verdicts.count('accepted')} of {len(judged)} runs hold)")
        if "not verified" in verdicts and not root:
            tell("where features are not imported, annotation files alone can do: name their directory with --root")
    if code := {"accepted": 0, "rejected": 1, "not verified": 2}[overall]:
        raise typer.Exit(code)


def _document(each: Judgement) -> dict[str, Any]:
    return {
        "run": each.entry.id,
        "verdict": each.verdict,
        "reasons": list(each.reasons),
        "features_checked": each.features,
        "metrics": dict(each.metrics),
    }


def _show(each: Judgement) -> None:
    from harness.console import tell

    if each.verdict == "accepted":
        features = "" if each.features else "; features not checked, they are not imported here"
        tell(f"{each.entry.id}: accepted, {len(each.metrics)} metrics computed again{features}")
    for reason in each.reasons:
        tell(f"{each.entry.id}: {each.verdict}: {reason}")
