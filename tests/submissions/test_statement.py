"""A statement goes with a submission; without one nothing is other than before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from harness.data.bank import Bank
from harness.paths import report_assets_dir
from harness.submissions.bundle import read_submission
from harness.submissions.statement import read_statement
from tests.submissions.changes import Harness, contents, run_of, verdict, write

EXAMPLE = report_assets_dir() / "repository" / "statement.example.yaml"


def test_a_statement_is_packed_with_its_hash_and_others_stay_as_they_were(
    bank: Bank, packed: Path, tmp_path: Path, harness: Harness
) -> None:
    directory = run_of(bank, tmp_path / "again")
    code, _, err = harness("submit", str(directory), "--to", str(tmp_path / "t.zip"), "--statement", str(EXAMPLE))
    assert code == 0, err
    before, now = contents(packed), contents(tmp_path / "t.zip")
    assert json.loads(before["manifest.json"]).keys() == {"format", "harness", "runs"}
    said, manifest = now.pop("statement.json"), json.loads(now.pop("manifest.json"))
    assert {**manifest, "statement": None} == {**json.loads(before.pop("manifest.json")), "statement": None}
    assert now == before
    assert read_submission(packed).statement is None
    assert read_submission(tmp_path / "t.zip").statement == read_statement(EXAMPLE)
    assert verdict(harness, tmp_path / "t.zip") == (0, [])
    # Somebody else's words under the same manifest.
    files = contents(tmp_path / "t.zip")
    write(tmp_path / "t.zip", {**files, "statement.json": said.replace(b"Example team", b"Another team")})
    code, _, err = harness("verify-submission", str(tmp_path / "t.zip"))
    assert (code, "statement.json was changed: its hash is not the one in the manifest" in err) == (2, True)


def test_each_wrong_field_is_named(packed: Path, tmp_path: Path, harness: Harness) -> None:
    run = str(next((tmp_path / "runs").iterdir()))
    wrong = {
        **yaml.safe_load(EXAMPLE.read_text()),
        **{"team": " ", "link": "javascript:alert(1)", "training_data": ["none", "ucf-crime"]},
        **{"contamination": "no", "contakt": "x"},
    }
    del wrong["text_tower"]
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(wrong))
    code, _, err = harness("submit", run, "--to", str(tmp_path / "x.zip"), "--statement", str(tmp_path / "s.yaml"))
    assert (code, err.count("\n")) == (2, 1)
    for line in (
        "field team: is empty",
        "field link: expected an address that begins with https://",
        "field training_data: expected the names of data sets, or [none] alone",
        "field text_tower: is missing",
        "field contamination: expected 'none known', 'saw test videos', 'unknown'; got 'no'",
        "field contakt: not known, did you mean contact?",
    ):
        assert line in err
    assert not (tmp_path / "x.zip").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "no statement; expected the fields team,"),
        ("a: [", "not a readable YAML file"),
        (None, "no such file"),
    ],
)
def test_what_is_no_statement_ends_in_one_line(
    packed: Path, tmp_path: Path, harness: Harness, text: str | None, reason: str
) -> None:
    if text is not None:
        (tmp_path / "s.yaml").write_text(text)
    run = str(next((tmp_path / "runs").iterdir()))
    code, _, err = harness("submit", run, "--to", str(tmp_path / "x.zip"), "--statement", str(tmp_path / "s.yaml"))
    assert (code, err.count("\n"), reason in err) == (2, 1, True), err
