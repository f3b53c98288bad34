"""A new repository: equal bytes each time, and workflows whose steps do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.boards.add import add
from harness.boards.initial import init
from harness.boards.repository import Repository
from harness.data.cards import card_names, find_card
from harness.submissions.statement import read_statement
from tests.boards.conftest import Harness
from tests.boards.field import Field, committed, edit_record, git


def test_equal_arguments_give_equal_bytes(tmp_path: Path, harness: Harness) -> None:
    for name in ("one", "two"):
        code, _, err = harness(
            "board", "init", str(tmp_path / name), "--datasets", "demo,ucf-crime", "--name", 'A "b": c'
        )
        assert code == 0, err
    files = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert {str(name) for name in files} == {
        *("board.yaml", "README.md", "statement.example.yaml", "annotations/README.md"),
        *("cards/demo.yaml", "cards/ucf-crime.yaml", "submissions/.gitkeep", "records/.gitkeep", "reruns/.gitkeep"),
        *(f".github/workflows/{name}.yml" for name in ("check", "comment", "publish")),
    }
    assert all(path.read_bytes() == (tmp_path / "two" / name).read_bytes() for name, path in files.items())
    repository = Repository(tmp_path / "one")
    assert repository.settings.name == 'A "b": c'
    assert repository.card("ucf-crime") == find_card("ucf-crime")
    assert read_statement(tmp_path / "one" / "statement.example.yaml").contamination == "none known"
    assert not [path for path in files.values() if b"{{ name" in path.read_bytes()]


def test_only_an_empty_directory_is_taken(tmp_path: Path, harness: Harness) -> None:
    (tmp_path / "x").write_text("here")
    code, _, err = harness("board", "init", str(tmp_path))
    assert (code, "is not empty; name a new directory" in err, err.count("\n")) == (2, True, 1)
    code, _, err = harness("board", "init", str(tmp_path / "new"), "--datasets", "demos")
    assert (code, "did you mean demo" in err, (tmp_path / "new").exists()) == (2, True, False)
    assert {path.stem for path in init(tmp_path / "all") if path.parent.name == "cards"} == set(card_names())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("format: 1\nname: x\nprotocol: 99\n", "field protocol: is 99, this harness computes metrics by protocol 1"),
        ("format: 1\nname: x\nprotocol: 1\nclosed: {seeds: 1}\n", "field closed.seeds"),
        ("[", "not a readable YAML file"),
        ("x", "no rules of a results repository"),
    ],
)
def test_rules_that_are_none_end_in_one_line(
    field: Field, clone: Path, harness: Harness, text: str, reason: str
) -> None:
    (clone / "board.yaml").write_text(text)
    code, _, err = harness("board", "add", str(field.teams["c"]), "--to", str(clone))
    assert (code, err.count("\n"), reason in err) == (2, 1, True), err


def steps(clone: Path, workflow: str) -> list[dict[str, Any]]:
    """The steps of a workflow that run something, with the environment of their job."""
    (job,) = yaml.safe_load((clone / ".github" / "workflows" / f"{workflow}.yml").read_text())["jobs"].values()
    return [{**step, "env": {**job.get("env", {}), **step.get("env", {})}} for step in job["steps"] if "run" in step]


def run(step: dict[str, Any], place: Path, bin_: Path, **github: str) -> subprocess.CompletedProcess[str]:
    """Run one step as a runner does, with `harness` on PATH; expressions of GitHub are left empty."""
    own = {name: "" if "${{" in value else value for name, value in step["env"].items()}
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", **own, **github}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    """A directory with `harness`, and with a `gh` that notes what it is asked."""
    made = tmp_path / "bin"
    made.mkdir()
    (made / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    (made / "gh").write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/gh.log\n'
        'case "$*" in *"/files"*) echo .github/workflows/check.yml;; *"/pulls "*) echo 7;; esac\n'
    )
    for path in made.iterdir():
        path.chmod(0o755)
    return made


def test_the_steps_of_the_workflows_do_what_they_say(field: Field, clone: Path, tmp_path: Path, bin_: Path) -> None:
    git(clone, "update-ref", "refs/remotes/origin/main", "main")
    name = add(field.teams["c"], Repository(clone)).record.id
    edit_record(clone, name, lambda record: record["rows"][0]["badges"].append("rerun-verified"))
    # Files of a pull request are no modules.
    (clone / "harness.py").write_text("print('executed')\n")
    (clone / "pip.py").write_text("print('executed')\n")
    committed(clone)
    install, check = steps(clone, "check")
    assert run(install, clone, bin_).stdout.strip() == str(bin_ / "harness")
    done = run(check, clone, bin_, GITHUB_BASE_REF="main")
    assert done.returncode == 1, done.stderr
    assert "executed" not in done.stdout
    assert f"records/{name}.json: field rows.0.badges: is [scores verified, rerun-verified]" in done.stdout
    said = (clone / "comment.md").read_text()
    assert said.startswith("## This does not hold\n")

    place = tmp_path / "comment"
    (place / "comment").mkdir(parents=True)
    (place / "comment" / "comment.md").write_text(said)
    (post,) = steps(clone, "comment")
    done = run(post, place, bin_, GITHUB_REPOSITORY="o/r", HEAD="team:branch")
    assert done.returncode == 0, done.stderr
    body = (place / "body.md").read_text()
    assert body.startswith("**This pull request changes `.github`")
    assert body.endswith(said)
    asked = (tmp_path / "gh.log").read_text()
    assert "repos/o/r/pulls -f state=open -f head=team:branch" in asked
    assert "repos/o/r/issues/7/comments" in asked

    install, write = steps(clone, "publish")
    git(clone, "checkout", "--quiet", "main")
    done = run(write, clone, bin_, GITHUB_SERVER_URL="https://example.org", GITHUB_REPOSITORY="o/r")
    assert done.returncode == 0, done.stderr
    assert (clone / "site" / "index.html").is_file()
    details = "".join(path.read_text() for path in (clone / "site" / "data" / "submissions").iterdir())
    assert "https://example.org/o/r/raw/HEAD/submissions/" in details


def test_workflows_ask_for_no_more_than_they_need(tmp_path: Path) -> None:
    init(tmp_path / "r", ["demo"])
    found = {}
    for name in ("check", "comment", "publish"):
        text = (tmp_path / "r" / ".github" / "workflows" / f"{name}.yml").read_text()
        found[name] = yaml.safe_load(text)
        # What others name is never put into a script by an expression.
        assert all("${{" not in step["run"] for step in steps(tmp_path / "r", name))
    assert found["check"]["permissions"] == {"contents": "read"}
    # YAML reads the key `on` as true.
    assert found["check"][True] == "pull_request"
    assert found["comment"][True]["workflow_run"]["workflows"] == ["check"]
    (job,) = found["comment"]["jobs"].values()
    assert not any("checkout" in step.get("uses", "") for step in job["steps"])
    uses = [step.get("uses", "") for step in found["check"]["jobs"]["check"]["steps"]]
    names = [step.get("name", "") for step in found["check"]["jobs"]["check"]["steps"]]
    assert names.index("Install the harness") < next(i for i, use in enumerate(uses) if "checkout" in use)
