"""A small data set, imported, and a submission of a run on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.bank import Bank, bank_path
from tests.data.trees import Tree, ucf_tree
from tests.submissions.changes import Harness, run_of


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


@pytest.fixture
def bank(tree: Tree) -> Bank:
    tree.load()
    return Bank(bank_path(tree.card.name, "clip"))


@pytest.fixture
def packed(bank: Bank, tmp_path: Path, harness: Harness) -> Path:
    """A submission of one run."""
    directory = run_of(bank, tmp_path / "runs")
    code, _, err = harness("submit", str(directory), "--to", str(tmp_path / "s.zip"))
    assert code == 0, err
    return tmp_path / "s.zip"
