"""A small field: a data set, two honest teams, a repository under git, and ways to make a dishonest third."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.boards.add import Found, add
from harness.boards.initial import init
from harness.boards.repository import Repository
from harness.data.bank import Bank, bank_path
from harness.io.digests import file_digest
from harness.submissions.pack import pack
from harness.submissions.statement import Statement
from tests.data.trees import Tree, ucf_tree
from tests.submissions.changes import Files, contents, rehash, run_of, write

SEEDS = range(5)
_WHO = {f"GIT_{role}_{field}": "Test" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}


def statement(team: str, **fields: object) -> Statement:
    """What a team says; `fields` replace it."""
    said = {
        **{"team": team, "method": f"{team}Net", "training_data": ["small-ucf"], "text_tower": "none"},
        **{"contamination": "none known", **fields},
    }
    return Statement.model_validate(said)


def git(directory: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    command = ["git", "-c", "init.defaultBranch=main", "-C", str(directory), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **_WHO})
    return done.stdout


def committed(directory: Path, message: str = "changes") -> None:
    """Commit everything that is there."""
    git(directory, "add", "--all", "--force")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", message)


@dataclass(frozen=True)
class Field:
    """The data set `small-ucf`, imported in `home`; the repository with two teams; a third team's file.

    `teams` are the files that were handed in: `a` and `b`, which are there, and `c`, which is not.
    """

    home: Path
    tree: Tree
    bank: Bank
    repository: Path
    teams: dict[str, Path]
    runs: Path

    def clone(self, target: Path) -> Path:
        """Return a working copy on a branch that went off from main."""
        shutil.copytree(self.repository, target)
        git(target, "checkout", "--quiet", "-b", "team")
        return target

    def packed(self, target: Path, team: str, seeds: tuple[int, ...] = tuple(SEEDS), **fields: object) -> Path:
        """Write the submission of some runs of the third team; `fields` go into its statement."""
        directories = [path for seed in seeds for path in self.runs.glob(f"*-s{seed}-*")]
        pack(directories, target, statement(team, **fields))
        return target


def make_field(place: Path, home: Path) -> Field:
    """Make all of it; HARNESS_HOME must be `home`."""
    tree = ucf_tree(place / "ucf")
    tree.load()
    bank = Bank(bank_path("small-ucf", "clip"))
    teams = {}
    for number, team in enumerate("abc"):
        # A trained method by its name: equal scores of two seeds are no accident.
        runs = [run_of(bank, place / team, seed, draw=10 * number + seed, method="deepmil") for seed in SEEDS]
        teams[team] = place / f"{team}.zip"
        pack(runs, teams[team], statement(f"Team {team.upper()}"))
    repository = place / "repository"
    init(repository, ["demo"], "A field")
    shutil.copy(tree.write_card(), repository / "cards" / "small-ucf.yaml")
    for team in "ab":
        add(teams[team], Repository(repository))
    git(repository, "init", "--quiet")
    committed(repository, "two teams")
    return Field(home, tree, bank, repository, teams, place / "c")


def tampered(source: Path, target: Path, edit: Callable[[Files], None]) -> Path:
    """Write a submission with changed files and a manifest that fits them again."""
    files = contents(source)
    edit(files)
    rehash(files)
    write(target, files)
    return target


def place(clone: Path, file: Path, record: Found) -> str:
    """Put a file and the record of another one, under the file's id, into a clone; return that id."""
    sha256 = file_digest(file)
    name, repository = sha256[:16], Repository(clone)
    shutil.copy(file, repository.submission(name))
    claimed = record.record.model_copy(update={"id": name, "sha256": sha256, "size": file.stat().st_size})
    repository.record_path(name).write_bytes(claimed.to_bytes())
    repository.arrays_path(name).write_bytes(record.arrays)
    return name


def edit_record(clone: Path, name: str, edit: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    """Change a record as its own writer would have written it."""
    path = Repository(clone).record_path(name)
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
