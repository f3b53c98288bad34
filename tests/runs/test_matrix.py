from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.bank import Bank
from harness.errors import UserError
from harness.records.request import Matrix
from harness.runs.matrix import plan, read_matrix

Call = Callable[..., tuple[int, str, str]]


def test_a_file_and_the_command_line_give_the_same_runs(demo: Bank, harness: Call, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        """
methods: [baseline, random]
datasets: demo
seeds: [0, 3]
selection: [last, oracle]
preset: fast
set: {deepmil: {epochs: 2}}
sweep: {baseline: {lr: [1.0e-3, 1.0e-4], hidden: [16, 32]}}
"""
    )
    line = ("--methods", "baseline,random", "--seeds", "0,3", "--selection", "last,oracle", "--preset", "fast")
    line = (*line, "--set", "baseline.epochs=2", "--sweep", "deepmil.lr=1.0e-3,1.0e-4", "--sweep")
    planned = []
    for arguments in (("-f", str(tmp_path / "m.yaml")), (*line, "deepmil.hidden=16,32")):
        code, stdout, stderr = harness("run", *arguments, "--dry-run", "--json", "--out", str(tmp_path / "runs"))
        assert code == 0, stderr
        planned.append(json.loads(stdout)["runs"])
    assert planned[0] == planned[1]
    assert len(planned[0]) == 2 * 2 * (2 * 2 + 1)
    assert len({run["id"] for run in planned[0]}) == len(planned[0])
    assert not (tmp_path / "runs").exists(), "a dry run writes nothing"


def test_many_runs_are_counted_not_listed(demo: Bank, harness: Call, tmp_path: Path) -> None:
    seeds = ",".join(map(str, range(30)))
    line = ("run", "--methods", "random,deepmil", "--seeds", seeds, "--selection", "last,val", "--dry-run")
    assert harness("run", "--methods", "random", "--seeds", "0,1", "--out", str(tmp_path))[0] == 0
    code, stdout, _ = harness(*line, "--sweep", "deepmil.lr=1e-3,1e-4,1.0e-3", "--out", str(tmp_path))
    assert code == 0
    assert len(stdout.splitlines()) < 40
    assert "and 170 more" in stdout
    words = [line.replace("│", " ").split() for line in stdout.splitlines()]
    assert ["random", "demo", "synthetic", "fast", "60", "58"] in [line[:6] for line in words]
    assert ["deepmil", "demo", "synthetic", "fast", "120", "120"] in [line[:6] for line in words]
    assert "178 of 180 runs to do" in stdout
    code, stdout, _ = harness(*line, "--out", str(tmp_path), "--json")
    runs = json.loads(stdout)["runs"]
    assert [run["id"] for run in runs if run["status"] == "finished"] == [
        path.name for path in sorted(tmp_path.glob("random-*"))
    ]
    assert len({run["id"] for run in runs}) == 60 + 60


def test_sweeps_may_hold_tuples_and_repeat_nothing(demo: Bank) -> None:
    from harness.cli.options import sweeps

    found = sweeps(["mgfn.dims=[8, 16],[16, 32]", "mgfn.lr=1,2"])
    assert found == {"mgfn": {"dims": [[8, 16], [16, 32]], "lr": [1, 2]}}
    once = plan(Matrix(methods=("deepmil",), sweep={"deepmil": {"lr": [0.001, 0.001]}}), Path("runs"), threads=1)
    assert len(once.orders) == 1


WRONG = {
    "methods: [baseline]\nseed: 3\n": "seed: not known, did you mean seeds?",
    "datasets: [demo]\n": "methods: Field required",
    "methods: [baseline]\nseeds: [1, x]\n": "seeds.1: ",
    "methods: [baseline]\nselection: best\n": "selection.0: ",
    "methods: [baseline\n": "not a readable YAML file",
    "- baseline\n": "expected fields such as methods",
    "1: 2\n": "field names must be words",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: WRONG[text].split(":")[0])
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_matrix(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert WRONG[text] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--methods", "baseline", "-f", "m.yaml"), "--methods and --file: the file holds the whole matrix"),
        ((), "--methods or --file is missing"),
        (("--methods", "baseline", "--sweep", "deepmil.lr"), "--sweep 'deepmil.lr': expected METHOD.key=value"),
        (("--methods", "baseline", "--sweep", "deepmil.lr=x,y"), "--set deepmil.lr: "),
        (("--methods", "baseline", "--sweep", "random.lr=1"), "method 'random' is not among the methods"),
        (("--methods", "baseline", "--dataset", ","), "--dataset ',': is empty"),
        (("--methods", "baseline", "--executor", "slurm"), "local, ray or inline"),
        (("--methods", "baseline", "--executor", "inline", "--jobs", "2"), "one run at a time"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    demo: Bank, harness: Call, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    code, stdout, stderr = harness("run", "--out", str(tmp_path / "runs"), *arguments)
    assert (code, stdout) == (2, "")
    assert expected in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_estimates_come_from_the_most_similar_runs(tmp_path: Path) -> None:
    from harness.runs.estimate import Estimates
    from tests.fakes import fake_result

    def lasting(seconds: float, **fields: object):
        result = fake_result(**fields)
        return result.model_copy(update={"cost": result.cost.model_copy(update={"wall_seconds": seconds})})

    known = Estimates(tmp_path)
    wanted = fake_result(config={"lr": 1}).spec
    assert known.seconds(wanted) is None
    known.add(lasting(40, config={"lr": 2}))
    assert known.seconds(wanted) == 40
    for seconds in (10, 30, 20):
        known.add(lasting(seconds, config={"lr": 1}, seed=int(seconds)))
    assert known.seconds(wanted) == 20
    assert known.seconds(fake_result(dataset="other").spec) is None
