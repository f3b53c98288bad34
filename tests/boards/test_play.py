"""A play with real git: two honest teams, and one that tries everything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.boards.add import add, verify
from harness.boards.check import check
from harness.boards.comment import markdown
from harness.boards.repository import Repository
from harness.io.digests import file_digest
from tests.boards.conftest import Harness
from tests.boards.field import Field, committed, edit_record, git, place, tampered
from tests.submissions.changes import Files, drop_video, edit_json, edit_scores, one_score, run_of


def problems(clone: Path, **how: bool) -> list[str]:
    """What a check says of everything that was done in a clone."""
    committed(clone)
    return list(check(clone, "main", **how).problems)


def test_an_honest_team_is_let_in_and_the_answer_shows_the_board(
    field: Field, clone: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone)
    code, out, err = harness("board", "add", str(field.teams["c"]))
    assert (code, err) == (0, ""), err
    name = file_digest(field.teams["c"])[:16]
    assert f"{name}: verified\nDeepMIL on small-ucf, 5 seeds: closed division\n" in out
    code, out, err = harness("board", "check", "--base", "main", "--json")
    assert (code, json.loads(out)["added"]) == (0, [])
    assert any(line.startswith(f"submissions/{name}.zip: is not committed") for line in json.loads(out)["notes"])
    committed(clone)
    code, out, err = harness("board", "check", "--base", "main", "--comment", "comment.md", "--json")
    assert (code, json.loads(out)["ok"], json.loads(out)["problems"]) == (0, True, [])
    said = Path("comment.md").read_text()
    assert said.startswith("## This holds\n")
    before, _, after = said.partition("After:")
    assert "Before:" in before
    assert (before.count("Team A |"), before.count("**Team CNet** (new)")) == (1, 0)
    assert (after.count("Team A |"), after.count("| **Team CNet** (new) | Team C | 5 |")) == (1, 1)
    code, _, err = harness("board", "add", str(field.teams["c"]))
    assert (code, "is there already, as submissions/" in err) == (2, True)


def _scores(edit: Callable[[dict[str, Any]], None]) -> Callable[[Files], None]:
    return lambda files: edit_scores(files, edit)


def _first_metric(files: Files) -> None:
    edit_json(files, "run.json", lambda run: run["metrics"].update(frame_auc=0.99))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_first_metric, "metrics are not those of the scores: frame_auc 0.99, here 0."),
        (_scores(one_score), "metrics are not those of the scores: "),
        (_scores(drop_video), "lacks scores of 1 test videos, such as Arrest001_x264"),
    ],
)
def test_changed_scores_and_metrics_are_refused(
    field: Field, clone: Path, tmp_path: Path, edit: Callable[[Files], None], reason: str
) -> None:
    file = tampered(field.teams["c"], tmp_path / "t.zip", edit)
    name = place(clone, file, verify(field.teams["c"], Repository(clone)))
    found = problems(clone)
    assert all(line.startswith(f"submissions/{name}.zip: run deepmil-small-ucf-s0-last-") for line in found)
    assert reason in found[0]


def copied(field: Field, tmp_path: Path) -> Path:
    """A submission of one training under five numbers."""
    from harness.submissions.pack import pack
    from tests.boards.field import statement

    runs = [run_of(field.bank, tmp_path / "copies", seed, draw=99, method="deepmil") for seed in range(5)]
    pack(runs, tmp_path / "copies.zip", statement("Copies"))
    return tmp_path / "copies.zip"


def test_seeds_copied_under_other_numbers_count_once(field: Field, clone: Path, tmp_path: Path) -> None:
    file = copied(field, tmp_path)
    (row,) = verify(file, Repository(clone)).record.rows
    assert (row.seeds, row.repeated, row.division) == ((0,), (1, 2, 3, 4), "open")
    assert row.reasons == ("1 seed with scores of their own (4 more repeat them), at least 5 expected",)
    assert row.figures["frame_auc"].low is None
    # Whoever writes the record of five trainings beside them is refused.
    name = place(clone, file, verify(field.teams["c"], Repository(clone)))
    found = problems(clone)
    assert f"records/{name}.json: field rows.0.division: is closed, here open" in found


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda record: record["rows"][0]["figures"]["frame_auc"].update(mean=0.999),
            "field rows.0.figures.frame_auc.mean: is 0.999, here 0.",
        ),
        (
            lambda record: record["rows"][0]["badges"].append("parity training 9/9"),
            "field rows.0.badges: is [scores verified, parity training 9/9], here [scores verified]",
        ),
        (lambda record: record["statement"].update(team="Team A"), "field statement.team: is Team A, here Team C"),
        (lambda record: record.update(luck=1), "field luck: Extra inputs are not permitted"),
        (lambda record: record["rows"][0]["seeds"].pop(), "field rows.0: its lists are not as long as its seeds"),
    ],
)
def test_a_better_record_is_refused(
    field: Field, clone: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    name = add(field.teams["c"], Repository(clone)).record.id
    edit_record(clone, name, edit)
    found = problems(clone)
    assert found[0].startswith(f"records/{name}.json: {reason}")


def test_figures_may_differ_as_sums_do_and_files_must_be_as_written(field: Field, clone: Path) -> None:
    repository = Repository(clone)
    name = add(field.teams["c"], repository).record.id
    edit_record(clone, name, lambda record: record["rows"][0]["figures"]["frame_auc"].__setitem__("sd", _near(record)))
    assert problems(clone) == []
    path = repository.record_path(name)
    path.write_bytes(path.read_bytes() + b" " * 1000)
    assert problems(clone)[0].startswith(f"records/{name}.json: is not written as ")


def _near(record: dict[str, Any]) -> float:
    return float(record["rows"][0]["figures"]["frame_auc"]["sd"]) + 3e-10


def test_arrays_of_others_and_missing_files_are_refused(field: Field, clone: Path) -> None:
    repository = Repository(clone)
    name = add(field.teams["c"], repository).record.id
    other = next(each for each in repository.ids if each != name)
    shutil.copy(repository.arrays_path(other), repository.arrays_path(name))
    again = f"`harness board add submissions/{name}.zip`"
    assert problems(clone) == [f"records/{name}.npz: is not what its scores give; write it anew with {again}"]
    repository.arrays_path(name).unlink()
    assert problems(clone) == [f"records/{name}.npz: is missing; write it with {again}"]
    repository.record_path(name).unlink()
    assert problems(clone) == [f"records/{name}.json: is missing; write it with {again}"]
    add(repository.submission(name), repository)
    assert problems(clone) == []
    repository.submission(name).unlink()
    assert problems(clone) == [
        f"records/{name}.json: no submission of this name is added with it",
        f"records/{name}.npz: no submission of this name is added with it",
    ]


def test_what_was_there_stays(field: Field, clone: Path) -> None:
    repository = Repository(clone)
    first, second = repository.ids
    repository.submission(first).write_bytes(repository.submission(first).read_bytes() + b" ")
    edit_record(clone, first, lambda record: record["rows"][0]["badges"].clear())
    repository.arrays_path(first).unlink()
    git(clone, "mv", f"records/{second}.npz", f"records/{'0' * 16}.npz")
    assert problems(clone) == [
        f"records/{first}.npz: was deleted (or renamed); what is in records/ stays as it is, files are only added",
        f"records/{second}.npz: was deleted (or renamed); what is in records/ stays as it is, files are only added",
        f"submissions/{first}.zip: was changed; what is in submissions/ stays as it is, files are only added",
        f"submissions/{first}.zip: its name is not its hash, "
        f"{file_digest(repository.submission(first))[:16]}; `harness board add` gives it that",
        f"records/{'0' * 16}.npz: no submission of this name is added with it",
    ]


def test_a_record_is_not_changed_even_to_what_is_true(field: Field, clone: Path) -> None:
    first = Repository(clone).ids[0]
    edit_record(clone, first, lambda record: record["rows"][0]["figures"]["frame_auc"].update(mean=0.9))
    assert problems(clone) == [
        f"records/{first}.json: was changed; a record changes once at most, from not verified to verified"
    ]
    Repository(clone).submission(first).unlink()
    assert f"submissions/{first}.zip: is not there, but its record changes" in problems(clone)


def test_a_card_with_a_shorter_test_set_is_no_measure(field: Field, clone: Path) -> None:
    """The card is refused, and what is verified is verified with the one that was there."""
    add(field.teams["c"], Repository(clone))
    card = clone / "cards" / "small-ucf.yaml"
    card.write_text(card.read_text().replace("videos: 3", "videos: 2"))
    found = "cards/small-ucf.yaml: was changed; what is in cards/ stays as it is, files are only added"
    assert problems(clone) == [found]
    assert problems(clone, maintainer=True)[0] == found


def test_a_file_by_another_name_is_refused(field: Field, clone: Path) -> None:
    repository = Repository(clone)
    name = add(field.teams["c"], repository).record.id
    repository.submission(name).rename(repository.submission("best"))
    found = problems(clone)
    assert f"submissions/best.zip: its name is not its hash, {name}; `harness board add` gives it that" in found


def test_other_paths_are_refused_and_rules_are_a_maintainers(field: Field, clone: Path) -> None:
    (clone / "sitecustomize.py").write_text("raise SystemExit('executed')\n")
    (clone / "harness").mkdir()
    (clone / "harness" / "__init__.py").write_text("raise SystemExit('executed')\n")
    (clone / "records" / "note.txt").write_text("x")
    for path in ("board.yaml", "README.md", ".github/workflows/check.yml", "annotations/small-ucf.txt"):
        with (clone / path).open("a") as stream:
            stream.write("\n# mine\n")
    shutil.copy(clone / "cards" / "demo.yaml", clone / "cards" / "demo-b.yaml")
    (clone / "reruns" / f"{Repository(clone).ids[0]}-1.json").write_text("{}")
    os.symlink("/etc/passwd", clone / "submissions" / ("0" * 16 + ".zip"))
    found = problems(clone)
    assert {line.partition(":")[0] for line in found} == {
        *("sitecustomize.py", "harness/__init__.py", "records/note.txt", "board.yaml", "README.md"),
        *(".github/workflows/check.yml", "annotations/small-ucf.txt", "cards/demo-b.yaml"),
        *(f"reruns/{Repository(clone).ids[0]}-1.json", f"submissions/{'0' * 16}.zip"),
    }
    assert sum("(--maintainer)" in line for line in found) == 6
    kept = problems(clone, maintainer=True)
    assert {line.partition(":")[0] for line in kept} == {
        *("sitecustomize.py", "harness/__init__.py", "records/note.txt", f"submissions/{'0' * 16}.zip"),
        *("cards/demo-b.yaml", f"reruns/{Repository(clone).ids[0]}-1.json"),
    }
    assert any("cards/demo-b.yaml: field name: is demo, the file is of demo-b" in line for line in kept)


def test_what_cannot_be_verified_is_listed_and_verified_later(
    field: Field, clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = Repository(clone)
    home = str(field.home)
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "empty"))
    made = add(field.teams["c"], repository)
    assert (made.record.verified, made.arrays) == (False, b"")
    assert made.record.unverified == ("no ground truth of small-ucf/clip is here",)
    assert made.record.rows[0].division == "open"
    assert problems(clone) == []
    said = markdown(check(clone, "main"))
    assert "- (claimed, not verified)" in said
    git(clone, "branch", "--force", "main", "HEAD")
    # A maintainer with the data set; a check without it believes nobody.
    monkeypatch.setenv("HARNESS_HOME", home)
    assert add(field.teams["c"], repository).record.verified
    assert problems(clone) == []
    found = problems(clone, imported=False)
    assert found[0].endswith("a record changes once at most, from not verified to verified")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "empty"))
    assert problems(clone) == found


def test_annotation_files_verify_and_a_listed_hash_closes(
    field: Field, clone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A repository that ships its annotations needs no import; records of both machines are one."""
    (clone / "annotations" / "small-ucf").mkdir()
    for name in ("test.csv", "annotations.txt"):
        shutil.copy(field.tree.root / name, clone / "annotations" / "small-ucf" / name)
    rules = clone / "board.yaml"
    listed = f"features: {{small-ucf: {{clip: {field.bank.content_hash}}}}}"
    rules.write_text(rules.read_text().replace("features: {}", listed))
    committed(clone)
    assert check(clone, "main", maintainer=True).problems == ()
    git(clone, "branch", "--force", "main", "HEAD")
    with_bank = add(field.teams["c"], Repository(clone))
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "empty"))
    assert verify(field.teams["c"], Repository(clone)).document == with_bank.document
    assert with_bank.record.rows[0].division == "closed"
    assert problems(clone) == []


def test_a_copy_of_another_teams_scores_is_pointed_out(field: Field, clone: Path, tmp_path: Path) -> None:
    from harness.submissions.pack import pack
    from tests.boards.field import statement

    runs = sorted((field.runs.parent / "a").iterdir())
    pack(runs, tmp_path / "copy.zip", statement("@everyone <b>", note="![x](http://x)"))
    add(tmp_path / "copy.zip", Repository(clone))
    committed(clone)
    found = check(clone, "main")
    assert found.problems == ()
    assert f"bit for bit those of {file_digest(field.teams['a'])[:16]}" in found.notes[0]
    said = markdown(found)
    assert "To be looked at" in said
    assert "@everyone" not in said
    assert "<b>" not in said


def test_the_base_must_be_there(field: Field, clone: Path, tmp_path: Path, harness: Harness) -> None:
    for arguments, reason in (
        (("--base", "nowhere"), "--base nowhere: no such branch or commit; fetch it first"),
        (("--base", "--upload-pack=x"), "no name of a commit"),
    ):
        code, _, err = harness("board", "check", str(clone), *arguments)
        assert (code, reason in err, err.count("\n")) == (2, True, 1)
    code, _, err = harness("board", "check", str(clone / "records"), "--base", "main")
    assert (code, "is not the top of its git repository" in err) == (2, True)
    (tmp_path / "none").mkdir()
    code, _, err = harness("board", "add", str(field.teams["c"]), "--to", str(tmp_path / "none"))
    assert (code, "`harness board init DIR` makes a results repository" in err) == (2, True)


def test_a_data_set_of_nobody_is_refused_by_add(
    field: Field, clone: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / "cards" / "small-ucf.yaml").unlink()
    code, _, err = harness("board", "add", str(field.teams["c"]), "--to", str(clone))
    assert code == 1
    assert "data set small-ucf is not one of this repository's: demo" in err
