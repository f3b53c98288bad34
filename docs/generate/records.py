"""The fields of what a run writes and of what a matrix file and a submission hold, from the models that read them."""

from __future__ import annotations

from generate import tables
from harness.records.history import Epoch, History, Look
from harness.records.request import Matrix
from harness.records.result import Cost, DataFacts, RunResult, Selection
from harness.records.spec import RunSpec
from harness.records.system_metrics import SystemMetrics
from harness.submissions.bundle import Manifest, Packed
from harness.submissions.statement import Statement

_RUN = {
    "`run.json`": RunResult,
    "`spec` in `run.json`": RunSpec,
    "`selected` in `run.json`": Selection,
    "`cost` in `run.json`": Cost,
    "`data` in `run.json`": DataFacts,
    "`history.json`": History,
    "An epoch": Epoch,
    "A look": Look,
    "`system_metrics.json`": SystemMetrics,
}


def fields() -> str:
    """Return a section for each part of a run's record."""
    return "\n".join(tables.model(part, f"### {title}") for title, part in _RUN.items())


def matrix_fields() -> str:
    """Return the fields of a matrix file."""
    return tables.model(Matrix, "### Fields of a matrix file")


def submission_fields() -> str:
    """Return the fields of a submission's table of contents."""
    parts = {"`manifest.json`": Manifest, "A run in `manifest.json`": Packed, "`statement.json`": Statement}
    return "\n".join(tables.model(part, f"### {title}") for title, part in parts.items())
