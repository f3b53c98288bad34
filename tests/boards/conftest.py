"""One field for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boards.field import Field, make_field

if shutil.which("git") is None:
    pytest.skip("needs git", allow_module_level=True)


@pytest.fixture(scope="session")
def made_field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    place = tmp_path_factory.mktemp("field")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(place / "home"))
        patch.setattr("harness.io.atomic.sync", lambda path: None)
        return make_field(place, place / "home")


@pytest.fixture
def field(made_field: Field, monkeypatch: pytest.MonkeyPatch) -> Field:
    """The field, with HARNESS_HOME set to where its data set was imported."""
    monkeypatch.setenv("HARNESS_HOME", str(made_field.home))
    return made_field


@pytest.fixture
def clone(field: Field, tmp_path: Path) -> Path:
    """A working copy of the repository, on a team's branch."""
    return field.clone(tmp_path / "clone")


Harness = Callable[..., tuple[int, str, str]]
