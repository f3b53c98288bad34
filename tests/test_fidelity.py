"""The record of parity outcomes and the badge it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import code_identity, fidelity
from harness.code_identity import method_files
from harness.files import read_json, write_json
from harness.parity import CaseResult, Error, adapters
from harness.registry import method_class, method_names
from tests.test_code_identity import read_as, with_a_number_changed, with_words_changed


def _result(case: str, error: float, method: str = "deepmil") -> CaseResult:
    return CaseResult(case, method, "someone/code@abc", (Error("scores", error, 1e-5),))


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(fidelity, "shipped_record", lambda: tmp_path / "shipped.json")
    monkeypatch.setattr(fidelity, "own_record", lambda: tmp_path / "own.json")
    return tmp_path / "own.json"


def test_badge_counts_cases_of_this_code(record: Path) -> None:
    method = method_class("deepmil")
    assert fidelity.fidelity(method) == ""
    fidelity.keep([_result("a", 1e-7), _result("b", 1e-2)], record)
    assert fidelity.fidelity(method) == "parity 1/2"
    fidelity.keep([_result("b", 1e-7), _result("c", 0.0)], record)
    assert fidelity.fidelity(method) == "parity 3/3"


def test_badge_of_other_code_is_dropped(record: Path) -> None:
    fidelity.keep([_result("a", 1e-7)], record)
    content = read_json(record)
    content["deepmil"]["code"] = "of yesterday"
    write_json(record, content)
    assert fidelity.fidelity(method_class("deepmil")) == ""
    fidelity.keep([_result("b", 1e-7)], record)
    assert list(read_json(record)["deepmil"]["cases"]) == ["b"]


@pytest.mark.parametrize("module", ["methods.dsanet", "methods.layers.clip", "harness.text", "harness.method"])
def test_badge_survives_words_and_falls_with_a_number(
    record: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    method = method_class("dsanet")
    file = method_files(method)[module]
    source = file.read_text(encoding="utf-8")
    fidelity.keep([_result("a", 1e-7, method="dsanet")], record)
    with monkeypatch.context() as patch:
        read_as(patch, file, with_words_changed(source))
        assert fidelity.fidelity(method) == "parity 1/1"
        read_as(patch, file, with_a_number_changed(source, -1))
        assert fidelity.fidelity(method) == ""
    code_identity._hash_of.cache_clear()
    assert fidelity.fidelity(method) == "parity 1/1"


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
