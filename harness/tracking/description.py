"""What a person reads of a run in MLflow: its name, where it comes from, a few lines with its numbers."""

from __future__ import annotations

import getpass
from collections.abc import Collection, Mapping

from harness.records.result import Origin, RunResult
from harness.records.spec import RunSpec

PARENT_RUN = "mlflow.parentRunId"
_NOTE = "mlflow.note.content"
# What a logged model has of the tags of its run.
MODEL_TAGS = ("harness.run_id", "harness.method", "mlflow.user", "mlflow.source.name", "mlflow.source.type", _NOTE)
_SOURCES: dict[Origin, str] = {
    "trained": "harness run",
    "checkpoint": "harness eval",
    "inference-only": "harness run",
    "imported": "harness score",
}
# Metrics that a description gives, by what it calls them.
_SHOWN = {
    "frame_auc": "frame AUC",
    "frame_ap": "frame AP",
    "abnormal_auc": "AUC of abnormal videos",
    "video_auc": "video AUC",
    "map_avg": "mean mAP",
    "false_alarm_rate": "false alarm rate",
}


def system_tags(result: RunResult) -> dict[str, str]:
    """Return MLflow's own tags of a run: its name, source, user, commit and description."""
    found = {"mlflow.runName": result.id, **_origin(result), _NOTE: description(result)}
    if commit := result.provenance.get("git_commit"):
        found["mlflow.source.git.commit"] = commit
    return found


def family_tags(result: RunResult, numbers: Collection[int], means: Mapping[str, float]) -> dict[str, str]:
    """Return the tags of the run above all seeds of one row: these seeds, and the means and sds of their metrics."""
    assert result.spec is not None
    seeds = ", ".join(map(str, sorted(numbers)))
    shown = [
        f"{words} {100 * means[name]:.2f}" + (f" ± {100 * means[sd]:.2f}" if (sd := f"sd/{name}") in means else "")
        for name, words in _SHOWN.items()
        if name in means
    ]
    note = f"{_asked(result.spec)}: {_counted(len(numbers), 'seed')} ({seeds}).\n\n"
    note += f"Mean{' ± standard deviation' if len(numbers) > 1 else ''} in percent: {', '.join(shown)}."
    return {**_origin(result), _NOTE: note, "harness.seeds": seeds}


def description(result: RunResult) -> str:
    """Return a few lines of Markdown about a run."""
    spec = result.spec
    parts = [f"{_asked(spec)}, seed {spec.seed}." if spec else f"{result.method} on {result.dataset}."]
    found = result.metrics
    if shown := [f"{words} {100 * found[name]:.2f}" for name, words in _SHOWN.items() if name in found]:
        parts.append(f"In percent: {', '.join(shown)}.")
    if (chosen := result.selected) is not None and chosen.steps:
        looked = f" after {_counted(chosen.looks, 'look')} at {chosen.criterion}" if chosen.looks else ""
        parts.append(f"Weights of step {chosen.step} of {chosen.steps}, chosen by the rule `{chosen.rule}`{looked}.")
    if (cost := result.cost) is not None:
        trained = f"Trained in {cost.train_seconds:.1f} s, tested" if cost.train_seconds else "Tested"
        parts.append(f"{trained} in {cost.predict_seconds:.1f} s; {cost.parameters:,} parameters.")
    parts += [f"Failed: {result.error}"] if result.error else []
    parts += [f"Caution: {line}." for line in result.cautions]
    return "\n\n".join(parts)[:4000]


def _asked(spec: RunSpec) -> str:
    data = f"{spec.trained_on} → {spec.dataset}" if spec.trained_on not in ("", spec.dataset) else spec.dataset
    said = [f"preset {spec.preset}"] if spec.preset else []
    said += [f"without {spec.ablation}"] if spec.ablation else []
    said += ["open vocabulary"] if spec.vocabulary else []
    said += [word for word in (spec.reading, spec.disturbance, spec.partial) if word]
    return ", ".join([f"**{spec.method}** on {data} ({spec.features})", *said, f"selection {spec.selection}"])


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _origin(result: RunResult) -> dict[str, str]:
    found = {"mlflow.source.name": _SOURCES[result.origin], "mlflow.source.type": "LOCAL"}
    try:
        return {**found, "mlflow.user": getpass.getuser()}
    except (KeyError, OSError, ImportError):  # a user without a name, as in some containers
        return found
