"""What one word of `harness compare` stands for: one set of predictions, or one for each seed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from harness.data.card import DatasetCard
from harness.data.cards import find_card
from harness.errors import UserError
from harness.records.predictions import Predictions
from harness.records.result import RunResult
from harness.records.run_directory import open_run
from harness.records.run_filter import RunFilter, base, told_apart
from harness.records.truth import GroundTruth
from harness.runs.checkpoint_evaluation import EvaluationRequest, Progress, evaluate_checkpoint
from harness.runs.checkpoint_loading import Say
from harness.scoring import score
from harness.scoring.files import ScoredFile, read_scores
from harness.scoring.own_labels import own_truth

_WEIGHTS = (".safetensors", ".pt", ".pth", ".pkl", ".ckpt", ".bin", ".tar")
# What the seeds of one side share; what follows from the data set may differ where one data set is named.
_SETTING = ("method", "config", "preset", "selection", "text_tower", "scale", "checkpoint", "features", "feature_hash")
_DATA = ("dataset", "dataset_hash", "protocol")
# What a harder question asks; of a method that is named, the runs of the usual one are meant.
_ASKED = ("vocabulary", "trained_on", "reading", "disturbance")


@dataclass(frozen=True)
class CompareRequest:
    """What `harness compare` was asked for; `root` holds annotation files in place of an imported bank.

    `only` chooses among the runs of a method, beside `dataset`; the methods in it are sides as well.
    """

    words: tuple[str, ...]
    dataset: str | None = None
    features: str | None = None
    root: Path | None = None
    text_tower: str | None = None
    device: str = "cpu"
    out: Path = Path("runs")
    only: RunFilter = field(default_factory=RunFilter)

    @cached_property
    def finished(self) -> dict[Path, RunResult]:
        """The finished runs below `out`, by directory."""
        found = {path.parent: open_run(path.parent).result for path in sorted(self.out.glob("*/run.json"))}
        return {directory: result for directory, result in found.items() if result.status == "ok"}

    @cached_property
    def selectors(self) -> RunFilter:
        """What chooses among the runs of a method that is named."""
        datasets = (self.card.base_name,) if self.card else ()
        return replace(self.only, methods={}, datasets=datasets)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """The words, and the methods of `only` that have runs.

        Raises:
            UserError: a selector names what no run has.
        """
        if not self.only.methods:
            return self.words
        chosen = replace(self.selectors, methods=self.only.methods)
        found = chosen.chosen(list(self.finished.values()), lambda result: result)
        if not found:
            raise chosen.none_left(str(self.out), len(self.finished))
        return (*self.words, *sorted({result.method for result in found} - set(self.words)))

    @cached_property
    def card(self) -> DatasetCard | None:
        """The card of the data set that was named."""
        return find_card(self.dataset) if self.dataset else None


@dataclass(frozen=True)
class Source:
    """One set of predictions. `facts` name it, the shortest name first; `truth` is what it brings along.

    `notes` are what a reader must know of it.
    """

    where: str
    facts: tuple[str, ...]
    scores: Predictions | ScoredFile
    truth: GroundTruth | None
    result: RunResult | None = None
    notes: tuple[str, ...] = ()

    def predictions(self, truth: GroundTruth) -> Predictions:
        """The scores as predictions of the test set of `truth`."""
        if not isinstance(self.scores, ScoredFile):
            return self.scores
        return self.scores.predictions(truth.alignment, truth.classes)


def sources_of(word: str, request: CompareRequest, say: Say, progress: Progress) -> list[Source]:
    """Return the sets of predictions that a word stands for, by seed where it names a method.

    Raises:
        UserError: it names nothing, or the runs of a method with several settings.
    """
    # os.path: a word that is too long for a file name, such as many run ids joined, is not a file either.
    path, recorded = Path(word), request.out / word
    for directory in (path, recorded):
        if os.path.isfile(directory / "run.json"):
            return [_run(directory)]
    method, colon, official = word.partition(":")
    if os.path.isfile(path) and path.suffix in _WEIGHTS:
        return [_evaluated(path, None, request, say, progress)]
    if os.path.isfile(path):
        return [_file(path, request)]
    if found := _runs_of(word, request):
        return found
    if os.path.isdir(path):
        return [_file(path, request)]
    if colon and os.path.isfile(official):
        return [_evaluated(Path(official), method, request, say, progress)]
    parts = word.split("+")
    if len(parts) > 1 and all(parts):
        return [source for part in parts for source in sources_of(part, request, say, progress)]
    raise UserError(
        f"{word}: no such file, no run below {request.out}, and no method; "
        "expected a run id, a method with runs, a checkpoint, METHOD:FILE, or a prediction file"
    )


def _run(directory: Path) -> Source:
    """A run directory's predictions."""
    run = open_run(directory)
    result = run.result
    if result.status != "ok":
        raise UserError(f"{directory}: this run {result.status}; compare needs finished ones")
    spec = result.spec
    method = f"{result.method} without {spec.ablation}" if spec and spec.ablation else result.method
    preset = spec.preset if spec else ""
    return Source(
        where=str(directory),
        facts=(method, result.selection, preset, result.features, f"seed {result.seed}", result.id.rpartition("-")[2]),
        scores=run.predictions(),
        truth=run.truth(),
        result=result,
        notes=(f"its data set is incomplete, {spec.partial}.",) if spec and spec.partial else (),
    )


def _runs_of(word: str, request: CompareRequest) -> list[Source]:
    """The finished runs of a method below --out, seed by seed; of a seed run twice the newest. Empty if no method."""
    results, only = request.finished, request.selectors
    name = word if any(result.method == word for result in results.values()) else _method(word)
    if name is None:
        return []
    only.check(list(results.values()))
    # A harder question is meant where `--where` speaks of it.
    asked = [field for field in _ASKED if only.where is None or field not in only.where.fields()]
    newest = dict[tuple[str, int], Path]()
    for directory, result in results.items():
        if result.method != name or not only.matches(result) or any(getattr(result.spec, each, "") for each in asked):
            continue
        key = (_setting(result, request), result.seed)
        if key not in newest or _age(directory) >= _age(newest[key]):
            newest[key] = directory
    if not newest:
        raise UserError(
            f"{word}: no finished run of {name}{f' with {only.words}' if only.words else ''} below {request.out}; make "
            f"one with `harness run --methods {name} --dataset {request.card.name if request.card else 'NAME'} "
            f"--out {request.out}`"
        )
    settings = list(dict.fromkeys(setting for setting, _ in newest))
    if len(settings) > 1:
        choices = ["+".join(path.name for key, path in newest.items() if key[0] == setting) for setting in settings]
        candidates = [results[path] for path in newest.values()]
        options = told_apart(candidates)
        raise UserError(
            f"{word}: its runs below {request.out} have {len(settings)} settings (they differ in "
            f"{', '.join(_differing(candidates, request))}); {f'{options} tells them apart, or ' if options else ''}"
            f"name those of one: {' or '.join(choices)}"
        )
    return [_run(directory) for (_, _), directory in sorted(newest.items(), key=lambda item: item[0][1])]


def _method(word: str) -> str | None:
    from harness.registry import one_method

    try:
        return one_method(word)
    except UserError:
        return None


def _age(directory: Path) -> float:
    return (directory / "run.json").stat().st_mtime


def _evaluated(path: Path, method: str | None, request: CompareRequest, say: Say, progress: Progress) -> Source:
    """What a checkpoint predicts on the data set."""
    from harness.weights.checkpoints import read_header

    header = read_header(path)
    if header is None and method is None:
        raise UserError(f"{path}: does not say whose weights these are; write METHOD:{path}")
    if request.dataset is None:
        raise UserError(f"{path}: name the data set to evaluate this checkpoint on with --dataset")
    with tempfile.TemporaryDirectory() as scratch:
        evaluation = EvaluationRequest(
            checkpoints=(str(path),),
            dataset=request.dataset,
            method=method,
            features=request.features,
            text_tower=request.text_tower,
            device=request.device,
            record=True,
            out=Path(scratch),
        )
        result = evaluate_checkpoint(evaluation, say, progress)
        run = _run(Path(result.directory))
    facts = (result.method, "given", "", result.features, path.stem, *_above(path))
    return replace(run, where=str(path), facts=facts, result=result)


def _file(path: Path, request: CompareRequest) -> Source:
    """A prediction file's scores, and the ground truth that it meets: that of the data set, else its own labels."""
    stem = path.name.partition(".")[0] or path.name
    facts = (stem, path.name, *_above(path))
    if request.dataset is not None:
        test = score.against_data_set(score.ScoringRequest(path, request.dataset, request.features, request.root))
        return Source(str(path), facts, test.predictions, test.truth, notes=test.warnings)
    scores = read_scores(path)
    if not isinstance(scores, ScoredFile) or scores.labels is None:
        return Source(str(path), facts, scores, None)
    truth, _ = own_truth(scores)
    return Source(str(path), facts, scores, truth)


def _above(path: Path) -> tuple[str, ...]:
    """The directories that a file lies in, the nearest first: as many as tell it from others make its name."""
    return path.absolute().parts[-2:0:-1]


def _setting(result: RunResult, request: CompareRequest) -> str:
    return repr([getattr(result.spec, name, None) for name in _shared(request)])


def _shared(request: CompareRequest) -> tuple[str, ...]:
    return (*_SETTING, *_ASKED) if request.card else (*_SETTING, *_ASKED, *_DATA)


def _differing(results: Sequence[RunResult], request: CompareRequest) -> list[str]:
    return [name.replace("_", " ") for name in _shared(request) if len(_values(results, name)) > 1]


def _values(results: Sequence[RunResult], name: str) -> list[str]:
    return list(dict.fromkeys(str(getattr(result.spec, name, None)) for result in results))


def check_one_setting(word: str, group: Sequence[Source], request: CompareRequest) -> None:
    """Raise UserError unless the runs of one side differ in the seed alone and are of the data set."""
    results = [source.result for source in group if source.result]
    if different := _differing(results, request):
        names = ", ".join(different)
        raise UserError(f"{word}: joined by + are seeds of one setting; these differ in {names}; name them apart")
    for result in results:
        card = request.card
        if card and base(result.dataset) != card.base_name:
            raise UserError(
                f"{word}: is a run on {result.dataset}; to evaluate its weights on {card.name}, name its checkpoint"
            )
