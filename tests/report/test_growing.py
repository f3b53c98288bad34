"""A report over a store that has grown: the pages of what is new are made, and the site is that of a whole rebuild."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.io.atomic import read_json
from harness.paths import cache_dir, report_assets_dir
from harness.records.run_directory import write_run
from harness.report import facts
from harness.report.site import written
from harness.report.site.links import run as address
from harness.tracking.sqlite import rebase
from harness.tracking.tracker import Tracker
from tests.fakes import fake_run

Call = Callable[..., tuple[int, str, str]]


def _add(place: Path, **fields: object) -> str:
    """Record one more run, and return its id."""
    run = fake_run(place, **fields)  # type: ignore[arg-type]
    _send(place)
    return run.id


def _send(place: Path) -> None:
    tracker = Tracker(None, place)
    assert tracker.sync() == []
    tracker._client._tracking_client.store.engine.dispose()


@pytest.fixture(scope="module")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store") / "runs"
    for method, dataset in (("alpha", "toy"), ("beta", "toy"), ("alpha", "other")):
        for seed in range(2):
            fake_run(place, method=method, dataset=dataset, seed=seed)
    _send(place)
    return place


@pytest.fixture
def out(_store: Path, tmp_path: Path) -> Path:
    """A store of two boards that nobody has open."""
    place = tmp_path / "runs"
    shutil.copytree(_store, place)
    rebase(place / "mlflow.db", place)
    return place


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The addresses of all pages that were made, whether or not they had to be written."""
    found: set[str] = set()
    write = written._write

    def noted(directory: Path, name: str, text: str) -> str:
        found.add(name)
        return write(directory, name, text)

    monkeypatch.setattr(written, "_write", noted)
    return found


def _site(out: Path) -> dict[str, bytes]:
    report = out / "report"
    return {path.relative_to(report).as_posix(): path.read_bytes() for path in report.rglob("*") if path.is_file()}


def _rebuilt(out: Path, harness: Call) -> dict[str, bytes]:
    shutil.rmtree(out / "report")
    shutil.rmtree(cache_dir())
    assert harness("report", "--out", str(out))[0] == 0
    return _site(out)


def test_one_more_run_makes_its_own_pages(out: Path, harness: Call, made: set[str]) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    assert "methods/beta.html" in made
    made.clear()
    new = _add(out, method="gamma", dataset="toy")
    assert harness("report", "--out", str(out))[0] == 0
    pages = {name for name in made if name.endswith(".html")}
    assert {name for name in pages if name.startswith("runs/")} == {address(new)}
    assert {"index.html", "methods/gamma.html"} < pages
    assert {name for name in pages if name.startswith("boards/")} == {"boards/toy-clip.html"}
    assert not {name for name in made if name.startswith(("assets/", "data/other"))}
    grown = _site(out)
    assert grown == _rebuilt(out, harness)


@pytest.mark.parametrize("fields", [{"method": "beta", "seed": 2}, {"selection": "oracle"}, {"dataset": "third"}])
def test_a_grown_site_is_that_of_a_rebuild(fields: dict[str, object], out: Path, harness: Call) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    _add(out, **{"method": "alpha", "dataset": "toy", **fields})
    assert harness("report", "--out", str(out))[0] == 0
    grown = _site(out)
    assert grown == _rebuilt(out, harness)


def test_other_code_and_templates_make_everything_anew(
    out: Path, harness: Call, made: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    every = set(made)
    template = tmp_path / "code" / "run.html.j2"
    template.parent.mkdir()
    for text in ("one", "another"):
        template.write_text(text)
        monkeypatch.setattr(facts, "sources", lambda: iter([template.parent]))
        made.clear()
        assert harness("report", "--out", str(out))[0] == 0
        assert made == every


def test_templates_and_code_are_among_the_sources() -> None:
    places = list(facts.sources())
    assert report_assets_dir() in places
    assert Path(written.__file__).is_relative_to(places[0])


def _gone(path: Path) -> None:
    path.unlink()


def _changed(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize("harm", [_gone, _changed])
def test_a_page_that_somebody_touched_comes_back_alone(
    harm: Callable[[Path], None], out: Path, harness: Call, made: set[str]
) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    site, page = _site(out), next((out / "report" / "runs").iterdir())
    made.clear()
    harm(page)
    assert harness("report", "--out", str(out))[0] == 0
    assert _site(out) == site
    run = page.stem
    assert made == {f"runs/{run}.html", f"data/runs/{run}.js", "index.html"}


def test_files_of_a_run_that_are_gone_or_come_back_count(out: Path, harness: Call, made: set[str]) -> None:
    assert harness("report", "--out", str(out))[0] == 0
    site = _site(out)
    history = next(out.glob("mlartifacts/toy/*/artifacts/history.json"))
    kept = history.read_text()
    history.unlink()
    assert harness("report", "--out", str(out))[0] == 0
    assert _site(out) != site
    history.write_text(kept)
    assert harness("report", "--out", str(out))[0] == 0
    assert _site(out) == site


def test_damage_is_told_every_time(out: Path, harness: Call) -> None:
    run = fake_run(out, method="delta", dataset="toy")
    write_run(out / run.id, run)
    _send(out)
    assert harness("report", "--out", str(out))[0] == 0
    (history,) = (path for path in out.glob("mlartifacts/toy/*/artifacts/history.json") if _is_of(path, run.id))
    history.write_text(history.read_text().replace("2.0", "3.0"))
    for _ in range(2):
        code, _, stderr = harness("report", "--out", str(out))
        assert code != 0
        assert "damaged" in stderr


def _is_of(path: Path, run: str) -> bool:
    return bool(read_json(path.with_name("run.json"))["id"] == run)
