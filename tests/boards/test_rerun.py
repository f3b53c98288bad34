"""Training again: what gives the same is said so, what does not as plainly, and what cannot be done in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.boards import train_again as training
from harness.boards.add import add
from harness.boards.initial import init
from harness.boards.repository import Repository
from harness.boards.reruns import decided, reach
from harness.data.bank import Bank
from harness.runs.executors.inline import InlineExecutor
from harness.runs.matrix import matrix_of, plan
from harness.runs.runner import compute_orders
from harness.submissions.pack import pack
from tests.boards.conftest import Harness
from tests.boards.field import edit_record


class _Quiet:
    """Shows nothing of what is computed."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *facts: None


@pytest.fixture(scope="module")
def made(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with a submission of two methods that take no time, two seeds each; and its id."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(demo_home))
        wanted = {"methods": ("random", "linear-probe"), "seeds": (0, 1), "preset": "fast"}
        orders = plan(matrix_of("test", wanted), place / "runs", 1).orders
        compute_orders(orders, InlineExecutor, place / "runs", _Quiet(), lambda result: None)
        pack([order.directory for order in orders], place / "t.zip")
        init(place / "r", ["demo"])
        return place / "r", add(place / "t.zip", Repository(place / "r")).record.id


@pytest.fixture
def trained(made: tuple[Path, str], demo: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A copy of it; reruns are computed in this process."""
    monkeypatch.setattr(training, "_processes", InlineExecutor)
    shutil.copytree(made[0], tmp_path / "r")
    return tmp_path / "r", made[1]


def test_the_same_and_another_result(trained: tuple[Path, str], harness: Harness) -> None:
    place, name = trained
    code, out, err = harness("board", "rerun", name, "--to", str(place), "--by", "somebody", "--json")
    assert code == 0, err
    probe, random = json.loads(out)["reruns"]
    assert (probe["outcome"], random["outcome"]) == ("reproduced", "reproduced")
    assert (random["words"], random["equal_bits"]) == ("all scores are equal bit for bit", 2)
    assert random["found"] == random["recorded"] != {}
    assert [Path(each["file"]).name for each in (probe, random)] == [f"{name}-1.json", f"{name}-2.json"]
    assert random["machine"]["torch"]
    assert set(Repository(place).reruns()) == {name}

    def better(record: dict[str, Any]) -> None:
        row = record["rows"][1]
        row["metrics"]["frame_auc"] = [
            value + 0.4 + 0.001 * seed for seed, value in enumerate(row["metrics"]["frame_auc"])
        ]
        row["scores"] = ["0" * 64, "1" * 64]
        row["code"] = ["c" * 64]

    edit_record(place, name, better)
    code, out, err = harness("board", "rerun", name, "--to", str(place), "--seeds", "0")
    assert code == 1, err
    assert "not reproduced: 4" in out
    assert "points apart, more than the" in out
    assert "trained with other code than the record's" in out
    found = Repository(place).reruns()[name]
    assert [(each.row, each.outcome) for each in found[-2:]] == [(0, "reproduced"), (1, "not reproduced")]


def test_what_cannot_be_trained_here_ends_in_one_line(trained: tuple[Path, str], harness: Harness) -> None:
    place, name = trained
    path = Repository(place).record_path(name)
    whole = path.read_bytes()

    def says(edit: Callable[[dict[str, Any]], None], *arguments: str) -> str:
        path.write_bytes(whole)
        edit_record(place, name, edit)
        code, out, err = harness("board", "rerun", name, "--to", str(place), *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
        return err

    def row(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda record: record["rows"][0].update(changes)

    def board(**changes: Any) -> Callable[[dict[str, Any]], None]:
        return lambda record: record["rows"][0]["board"].update(changes)

    assert "--seeds 9: the record of linear-probe on demo has the seeds 0, 1" in says(row(), "--seeds", "0,9")
    assert "unknown method 'nobody'" in says(row(method="nobody"))
    assert "was not trained by the harness (checkpoint)" in says(row(origin="checkpoint"))
    assert "its text tower was openai/clip, here none; name it with --text-tower" in says(row(text_tower="openai/clip"))
    assert "other features here: the hash is" in says(board(feature_hash="0" * 64))
    assert "unknown dataset 'nowhere'" in says(board(dataset="nowhere"))
    assert "has not been imported" in says(board(dataset="ucf-crime", features="clip-vit-b16"))
    assert "no record 0000" in harness("board", "rerun", "0000", "--to", str(place))[2]
    assert not Repository(place).reruns()


def test_the_rule() -> None:
    assert decided([0.80, 0.81, 0.82], [0.81, 0.80, 0.82], 0)[0] == "reproduced"
    assert decided([0.80, 0.81, 0.82], [0.70, 0.71, 0.72], 0)[0] == "not reproduced"
    # Welch: spreads of 0.01 from three each, t of 4 degrees of freedom.
    assert reach([0.80, 0.81, 0.82], [0.90, 0.91, 0.92]) == pytest.approx(2.7764 * (2 * 0.0001 / 3) ** 0.5, rel=1e-4)
    # One more draw of the same spread.
    assert reach([0.80, 0.81, 0.82], [0.9]) == pytest.approx(4.3027 * 0.01 * (4 / 3) ** 0.5, rel=1e-4)
    assert reach([0.8], [0.9]) is None
    assert decided([0.8], [0.9], 0)[:2] == ("undecided", "10.00 points apart, and one seed on each side says no spread")
    assert decided([0.8], [0.8], 1)[:2] == ("reproduced", "all scores are equal bit for bit")
    assert decided([0.8, 0.8], [0.8, 0.8001], 0)[0] == "reproduced"
    assert decided([0.8, 0.8], [0.9, 0.9], 0)[0] == "not reproduced"
    assert decided([0.8, 0.8], [], 0)[:2] == ("not reproduced", "no seed finished")
