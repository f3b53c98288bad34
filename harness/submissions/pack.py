"""From finished run directories to one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.data.bank import Bank, bank_path
from harness.errors import UserError
from harness.io.atomic import replacing
from harness.io.digests import digest
from harness.records.result import RunResult
from harness.records.run_directory import named_run, open_run
from harness.records.run_filter import RunFilter
from harness.registry import one_method
from harness.scoring.answers import answer
from harness.submissions.archive import stored
from harness.submissions.bundle import FILES, FORMAT, STATEMENT, Manifest, Packed, parse_entry, truth_hash
from harness.submissions.judge import differences
from harness.submissions.statement import Statement
from harness.tracking.format import read_run
from harness.version import __version__


def find_runs(words: Sequence[str], runs: Path, only: RunFilter | None = None) -> list[Path]:
    """Return the directories of the runs that are meant: directories, run ids below `runs`, or a method's runs there.

    `only` chooses among the runs of methods; without words, and for its own methods, among all finished ones.

    Raises:
        UserError: a word names no finished run, a selector names what no run has, or nothing is left.
    """
    only = only or RunFilter()
    found: dict[Path, None] = {}
    methods = list[str]()
    for word in words:
        if (directory := named_run(word, runs)) is not None:
            found[directory.resolve()] = None
        else:
            methods.append(word)
    if methods or not only.empty:
        found |= dict.fromkeys(directory.resolve() for directory in _of_methods(methods, runs, only, bool(words)))
    return sorted(found, key=lambda directory: directory.name)


def pack(directories: Sequence[Path], path: Path, statement: Statement | None = None) -> list[str]:
    """Write the runs in `directories` to one file, atomically; return their ids. Equal runs give equal bytes.

    `statement` is what the team says of them.

    Raises:
        UserError: a run did not finish, a file of it is missing or damaged, the features that it says it was computed
            with are here but damaged, or its metrics are not those of its scores.
    """
    banks = set[Path]()
    entries, runs = dict[str, bytes](), dict[str, Packed]()
    for directory in directories:
        run = read_run(directory)
        result = run.result
        run.check()
        _check_features(result, banks)
        if result.id in runs:
            raise UserError(f"{directory}: a second run {result.id}; submit one of them")
        # Where it lay is nobody's business.
        own = result.model_copy(update={"directory": ""}).model_dump_json(indent=1).encode() + b"\n"
        data = {name: own if name == "run.json" else _bytes(directory / name) for name in FILES}
        truth = run.truth()
        runs[result.id] = Packed(truth=truth_hash(truth), files={name: digest(data[name]) for name in FILES})
        # Whatever a verifier would refuse is refused here.
        entry = parse_entry(result.id, data, runs[result.id], str(directory))
        assert result.spec is not None
        if wrong := differences(entry.result, answer(result.spec, entry.predictions, truth), truth):
            raise UserError(f"{directory}: {wrong[0]}; compute it again with `harness run --rerun`")
        entries |= {f"runs/{result.id}/{name}": data[name] for name in FILES}
    said = None
    if statement is not None:
        entries[STATEMENT] = statement.model_dump_json(indent=1).encode() + b"\n"
        said = digest(entries[STATEMENT])
    manifest = Manifest(format=FORMAT, harness=__version__, runs=dict(sorted(runs.items())), statement=said)
    entries["manifest.json"] = manifest.to_bytes()
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stored(entries, stream)
    return list(manifest.runs)


def _check_features(result: RunResult, banks: set[Path]) -> None:
    """Raise UserError where the features of a run lie here and are damaged; `banks` were looked at before."""
    path = bank_path(result.dataset.partition("@")[0], result.features)
    if path not in banks and (path / "bank.json").exists():
        Bank(path).check(full=True)
        banks.add(path)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _of_methods(words: Sequence[str], runs: Path, only: RunFilter, named: bool) -> list[Path]:
    """The finished runs below `runs` of these methods and those of `only`, as far as `only` means them."""
    every = [open_run(path.parent) for path in sorted(runs.glob("*/run.json"))]
    finished = [run for run in every if run.result.status == "ok"]
    methods = {word: (_method(word),) for word in words}
    for word, (name,) in methods.items():
        if not any(run.result.method == name for run in finished):
            raise UserError(f"{word}: no run directory, no run id below {runs}, and no method with finished runs there")
    if named and not (methods or only.methods):
        return []  # whoever names runs means these alone
    chosen = replace(only, methods={**only.methods, **methods})
    found = chosen.chosen(finished, lambda run: run.result)
    if not found:
        raise chosen.none_left(str(runs), len(finished))
    return [run.directory for run in found]


def _method(word: str) -> str:
    try:
        return one_method(word)
    except UserError:
        return word
