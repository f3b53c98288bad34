"""Scores of another program as a run, so that they stand on the board of their track beside methods of ours."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.data.bank import Bank
from harness.data.cards import find_card, imported_set, open_bank
from harness.errors import UserError
from harness.io.atomic import write_json
from harness.io.digests import digest, file_digest
from harness.metrics.protocol import evaluate
from harness.metrics.saturation import saturation
from harness.names import METHOD_NAMES, is_method_name
from harness.printable import printable, shortened
from harness.records.log_lines import stamped
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.run_directory import RECORD, open_run
from harness.records.spec import RunSpec
from harness.records.track import Track
from harness.registry import GROUPS, method_cards, method_names
from harness.runs.method_side import COMPUTED, HISTORY, PREDICTIONS, now
from harness.runs.provenance import provenance
from harness.runs.truth_side import facts_of, publish_run
from harness.scoring.rows import describe
from harness.scoring.score import ScoringRequest, Test, against_data_set
from harness.scoring.snippets import in_snippets

# Fields of a run's provenance that say where its scores come from.
KIND, HASH, SOURCE = "scores", "scores_sha256", "scores_source"
# The key of the config that tells the files of one name apart.
FILE = "scores"
# Characters of a source.
_LONGEST = 500


@dataclass(frozen=True)
class ImportRequest:
    """Whose scores a file has: the `name` of the method, its track, where they are from (an address or a text)."""

    scoring: ScoringRequest
    name: str
    track: Track
    source: str = ""
    out: Path = Path("runs")


def record_scores(request: ImportRequest) -> RunResult:
    """Record the scores of a file as a finished run in `request.out`.

    The same file is recorded once; with another track or source it replaces its earlier run. A run has one score for
    each snippet of the data set: rows that stand for something else are averaged by frames.

    Raises:
        UserError: the name is taken or none, the data set was not imported, or the file lacks test videos.
        Unwritable: the output directory refused a write.
    """
    started = now()
    _check_name(request.name)
    scoring = request.scoring
    if refused := [option for option, given in (("--root", scoring.root), ("--partial", scoring.partial)) if given]:
        raise UserError(f"{refused[0]} and --as: a run has scores of all test videos of an imported data set")
    assert scoring.dataset is not None
    card = find_card(scoring.dataset)
    bank = open_bank(card, scoring.features or imported_set(card))
    given = against_data_set(scoring)
    predictions = _predictions(given, bank)
    content = _content(scoring.path)
    spec = _spec(request, bank, content)
    directory, source = request.out / spec.run_id, printable(request.source)[:_LONGEST] or "not said"
    if (directory / RECORD).exists():
        earlier = open_run(directory).result
        if earlier.spec == spec and earlier.provenance.get(SOURCE) == source:
            return earlier.model_copy(update={"directory": str(directory)})
    truth = bank.truth()
    found, cautions = evaluate(predictions, truth), [saturation(predictions.scores)]
    if given.predictions.alignment != predictions.alignment:
        cautions.append(
            f"its rows are {describe(given.predictions.alignment)}, averaged over the frames of each snippet"
        )
    result = RunResult.of(
        spec,
        "ok",
        metrics=found.metrics,
        class_auc=found.class_auc,
        undefined=list(found.undefined),
        cautions=list(filter(None, cautions)),
        videos=found.videos,
        frames=found.frames,
        excluded=list(truth.excluded),
        provenance=provenance() | {KIND: "imported", HASH: content, SOURCE: source},
        origin="imported",
        data=facts_of(bank, trained=False),
        started=started,
        ended=now(),
        directory=str(directory),
    )
    workspace = request.out / ".work" / spec.run_id
    shutil.rmtree(workspace, ignore_errors=True)
    predictions.save(workspace / COMPUTED / PREDICTIONS)
    write_json(workspace / COMPUTED / HISTORY, {"epochs": [], "looks": []})
    said = f"imported scores of {scoring.path.name}, SHA-256 {content}; source: {source}"
    publish_run(result, truth, workspace / COMPUTED, stamped(said))
    shutil.rmtree(workspace, ignore_errors=True)
    return result


def _spec(request: ImportRequest, bank: Bank, content: str) -> RunSpec:
    card, name = bank.card, bank.features_name
    return RunSpec(
        method=request.name,
        config={FILE: content},
        preset="",
        dataset=card.name,
        dataset_hash=card.digest,
        features=name,
        feature_hash=bank.content_hash,
        scale=card.features[name].scale,
        text_tower="",
        seed=0,
        selection="given",
        device="cpu",
        threads=1,
        protocol=card.protocol_of(name),
        code="",
        partial=bank.partial,
        track=request.track,
    )


def _predictions(test: Test, bank: Bank) -> Predictions:
    items = {item.video: item.snippets for item in bank.split("test").items}
    frames = {video: truth.frames for video, truth in test.truth.videos.items()}
    return in_snippets(test.predictions, bank.card.alignment, items, frames)


def _check_name(name: str) -> None:
    """Raise UserError unless others' scores may stand under this name."""
    if not is_method_name(name):
        raise UserError(f"--as {shortened(repr(name))}: expected {METHOD_NAMES}")
    words = [*method_names(), *GROUPS, *(alias for card in method_cards().values() for alias in card.aliases)]
    if taken := [word for word in words if word.lower() == name.lower()]:
        raise UserError(
            f"--as {name}: {taken[0]} is a name of a method here; say whose scores they are, as {name}-2023"
        )


def _content(path: Path) -> str:
    """SHA-256 of a file, or of the files of a directory with their names."""
    try:
        if not path.is_dir():
            return file_digest(path)
        return digest(*(part for file in sorted(path.iterdir()) for part in (file.name, file_digest(file))))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
