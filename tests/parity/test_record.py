"""The record of parity outcomes and the badge it gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.identity import code as code_identity
from harness.identity.code import method_files
from harness.io.atomic import read_json, write_json
from harness.parity import record as fidelity
from harness.parity.cases import CaseResult, Error, adapters
from harness.registry import method_class, method_names
from harness.report.site.render import environment
from tests.identity.test_code import read_as, with_a_number_changed, with_words_changed


def _result(case: str, error: float, method: str = "deepmil", kind: str = "eval") -> CaseResult:
    return CaseResult(case, method, "someone/code@abc", (Error("scores", error, 1e-5),), kind=kind)


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fidelity, "shipped_record", lambda: tmp_path / "shipped.json")
    monkeypatch.setattr(fidelity, "own_record", lambda: tmp_path / "own.json")
    code_identity._hash_of.cache_clear()  # of a test that had other methods registered
    return tmp_path / "own.json"


def test_badge_counts_cases_of_this_code(record: Path) -> None:
    method = method_class("deepmil")
    assert fidelity.fidelity(method) == ""
    fidelity.keep([_result("a", 1e-7), _result("b", 1e-2)], record)
    assert fidelity.fidelity(method) == "forward 1/2"
    fidelity.keep([_result("b", 1e-7), _result("c", 0.0)], record)
    assert fidelity.fidelity(method) == "forward 3/3"


def test_badge_tells_forward_gradients_and_training_apart(record: Path) -> None:
    cases = {"a-eval": "eval", "b-pool": "pool", "c-loss": "loss", "d-optim": "optim", "e-train": "train"}
    results = [_result(case, 1e-2 if kind == "train" else 1e-7, kind=kind) for case, kind in cases.items()]
    fidelity.keep(results, record)
    assert {name: case["kind"] for name, case in read_json(record)["deepmil"]["cases"].items()} == cases
    badge = fidelity.fidelity(method_class("deepmil"))
    assert badge == "forward 2/2 · gradients 1/1 · training 1/2"
    assert fidelity.counts(badge) == (4, 5)
    fidelity.keep([_result("e-train", 1e-7, kind="train")], record)
    assert fidelity.fidelity(method_class("deepmil")) == "forward 2/2 · gradients 1/1 · training 2/2"


def test_records_without_kinds_are_read_by_the_names_of_their_cases(record: Path) -> None:
    names = ("deepmil-eval", "deepmil-loss-mask", "dsanet-optim", "mine")
    fidelity.keep([_result(name, 1e-7) for name in names], record)
    content = read_json(record)
    for case in content["deepmil"]["cases"].values():
        del case["kind"]
    write_json(record, content)
    assert fidelity.fidelity(method_class("deepmil")) == "forward 2/2 · gradients 1/1 · training 1/1"


def test_a_kind_of_a_later_version_counts_as_forward(record: Path) -> None:
    fidelity.keep([_result("a", 1e-7, kind="video")], record)
    assert fidelity.fidelity(method_class("deepmil")) == "forward 1/1"


def test_weakest_badge() -> None:
    full, old = "forward 10/10 · training 2/2", "parity 3/3"
    assert fidelity.weakest([full, "forward 10/10 · training 1/2"]) == "forward 10/10 · training 1/2"
    assert fidelity.weakest([full, "forward 9/10"]) == "forward 9/10"
    assert fidelity.weakest([full, old]) == old
    assert fidelity.weakest([full, "", old]) == ""


def test_badge_of_other_code_is_dropped(record: Path) -> None:
    fidelity.keep([_result("a", 1e-7)], record)
    content = read_json(record)
    content["deepmil"]["code"] = "of yesterday"
    write_json(record, content)
    assert fidelity.fidelity(method_class("deepmil")) == ""
    fidelity.keep([_result("b", 1e-7)], record)
    assert list(read_json(record)["deepmil"]["cases"]) == ["b"]


@pytest.mark.parametrize(
    "module", ["harness.methods.dsanet", "harness.methods.layers.clip", "harness.text.tower", "harness.plugin.method"]
)
def test_badge_survives_words_and_falls_with_a_number(
    record: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    method = method_class("dsanet")
    file = method_files(method)[module]
    source = file.read_text(encoding="utf-8")
    fidelity.keep([_result("a", 1e-7, method="dsanet")], record)
    with monkeypatch.context() as patch:
        read_as(patch, file, with_words_changed(source))
        assert fidelity.fidelity(method) == "forward 1/1"
        read_as(patch, file, with_a_number_changed(source, -1))
        assert fidelity.fidelity(method) == ""
    code_identity._hash_of.cache_clear()
    assert fidelity.fidelity(method) == "forward 1/1"


def test_cases_that_belong_to_no_method_are_not_kept(record: Path) -> None:
    fidelity.keep([_result("eval-map-ucf", 0.0, method="eval-map")], record)
    assert read_json(record) == {}


def test_shipped_record_is_of_the_present_code() -> None:
    """After a change to a method: `harness parity CASES --record reports/parity.json`."""
    proven = set(adapters()) & set(method_names())
    stale = [name for name in sorted(proven) if not fidelity.fidelity(method_class(name))]
    assert not stale, f"harness parity CASES --record {fidelity.shipped_record()}"
    for entry in read_json(fidelity.shipped_record()).values():
        assert all(case["ok"] for case in entry["cases"].values())


def test_shipped_record_holds_every_official_case(shared: Path) -> None:
    record = read_json(fidelity.shipped_record())
    known = {name for entry in record.values() for name in entry["cases"]}
    official = {
        path.parent.name
        for folder in ("parity", "parity-train", "parity-next")
        for path in (shared / folder).glob("*/case.json")
        if read_json(path)["method"] in record
    }
    assert official - known == set()


def test_each_stage_of_a_badge_has_a_mark_of_its_own() -> None:
    macro = environment(()).get_template("macros.html.j2").module.fidelity
    page = str(macro("forward 2/2 · gradients 1/1 · training 1/2"))
    assert re.findall(r'class="badge (\w+)"[^>]*>([^<]+)<', page) == [
        *(("fair", "forward 2/2"), ("fair", "gradients 1/1"), ("test", "training 1/2"))
    ]
    assert re.findall(r'class="badge (\w+)"[^>]*>([^<]+)<', str(macro("parity 3/3"))) == [("fair", "parity 3/3")]
    assert "badge" not in str(macro(""))
