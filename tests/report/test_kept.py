"""What is remembered between reports changes no number, may be lost, and is never older than its sources."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.io.atomic import write_json
from harness.paths import cache_dir, harness_home
from harness.registry import registered_entries
from harness.report import publish
from harness.report.facts import sources
from harness.report.memory import NAME
from harness.tracking.tracker import Tracker
from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A store of four runs that nobody has open."""
    place = tmp_path / "runs"
    for method in ("alpha", "beta"):
        for seed in range(2):
            fake_run(place, method=method, seed=seed)
    tracker = Tracker(None, place)
    assert tracker.sync() == []
    tracker._client._tracking_client.store.engine.dispose()
    return place


def _site(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in (out / "report").rglob("*") if path.is_file()}


def _forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(publish, "_made", made)


def test_a_report_of_the_same_is_not_made_again(out: Path, harness: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (
        harness("report", "--out", str(out)),
        harness("report", "--out", str(out), "--formats", "csv,json", "--json"),
    )
    site = _site(out)
    _forbid(monkeypatch)
    assert harness("report", "--out", str(out), "--formats", "csv,json", "--json") == first[1]
    assert first[0][0] == 0
    assert _site(out) == site


def _a_new_run(out: Path) -> None:
    fake_run(out, method="gamma")


def _a_rerun(out: Path) -> None:
    run = fake_run(out, method="alpha", seed=1)
    write_json(out / run.id / "run.json", {**run.model_dump(), "cautions": ["again"]})


def _a_failure(out: Path) -> None:
    run = fake_run(out, method="alpha", seed=1).model_copy(update={"id": "x", "status": "failed", "error": "no"})
    write_json(out / ".unsent" / "x.json", run.model_dump())


def _other_predictions(out: Path) -> None:
    path = next(out.glob("mlartifacts/*/*/artifacts/predictions.npz"))
    os.utime(path, (1, 1))


def _a_page_is_gone(out: Path) -> None:
    (out / "report" / "index.html").unlink()


def _a_page_was_changed(out: Path) -> None:
    (out / "report" / "leaderboard.csv").write_text("mine")


def _parity(out: Path) -> None:
    write_json(harness_home() / "parity.json", {})


CHANGES = (_a_new_run, _a_rerun, _a_failure, _other_predictions, _a_page_is_gone, _a_page_was_changed, _parity)


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_makes_it_anew(
    change: Callable[[Path], None], out: Path, harness: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    change(out)
    with monkeypatch.context() as patch:
        _forbid(patch)
        with pytest.raises(AssertionError, match="made again"):
            harness("report", "--out", str(out))
    assert harness("report", "--out", str(out))[0] == 0


def _gone(place: Path) -> None:
    shutil.rmtree(place)


def _damaged(place: Path) -> None:
    for path in place.rglob("*"):
        if path.is_file():
            path.write_bytes(b"no database" * 999)


def _in_the_way(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("")


@pytest.mark.parametrize("harm", [_gone, _damaged, _in_the_way])
def test_the_cache_may_be_lost_at_any_time(harm: Callable[[Path], None], out: Path, harness: Call) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    assert (cache_dir() / "statistics" / NAME).is_file()
    site = _site(out)
    harm(cache_dir())
    shutil.rmtree(out / "report")
    code, _, stderr = harness("report", "--out", str(out))
    assert (code, stderr) == (0, "")
    assert _site(out) == site


def test_the_code_of_every_method_counts() -> None:
    places = list(sources())
    for entry in registered_entries():
        found = find_spec(entry.module)
        assert found is not None
        assert any(Path(str(found.origin)).is_relative_to(place) for place in places), entry.value
