"""What a run read of its data set, as MLflow shows it: one entry for each split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.records.result import RunResult
from harness.tracking.tensors import schema

# As much of a hash as MLflow takes for a digest.
_DIGEST = 36


@dataclass(frozen=True)
class DataSet:
    """A split of a data set with one feature set. `digest` begins the hash of its features."""

    name: str
    digest: str
    context: str
    source: str
    schema: dict[str, Any]
    profile: dict[str, Any]


def data_sets(result: RunResult) -> list[DataSet]:
    """Return the splits that a run read, the test split last; none of a run of earlier versions, which does not say so.

    MLflow keeps one use of a data set by a run, so that each split has a name of its own.
    """
    spec, facts = result.spec, result.data
    if spec is None or facts is None:
        return []
    splits = (
        ("train", "training", facts.train_videos, facts.train_snippets),
        ("test", "testing", facts.test_videos, facts.test_snippets),
    )
    found = []
    for split, context, videos, snippets in splits:
        profile: dict[str, Any] = {"videos": videos, "snippets": snippets, "crops": facts.crops, "dim": facts.dim}
        profile |= {"features": spec.features, "feature_hash": spec.feature_hash, "card_hash": spec.dataset_hash}
        shape = schema((-1, facts.dim) if facts.crops == 1 else (facts.crops, -1, facts.dim), "features")
        name, source = f"{spec.dataset}/{split}", facts.source or f"card {spec.dataset}"
        if videos:
            tensors = {"mlflow_tensorspec": {"features": shape, "targets": None}}
            found.append(DataSet(name, spec.feature_hash[:_DIGEST], context, source, tensors, profile))
    return found
