"""Seeds stand under a parent that has their means, whatever comes later, is replaced, or is cut off."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from harness.io.atomic import write_json
from harness.records.result import RunResult
from harness.records.spec import SEEDED
from harness.tracking import families
from harness.tracking.client import pages
from harness.tracking.description import PARENT_RUN
from harness.tracking.families import FAMILY, PARENT, family_of
from harness.tracking.format import RUN_ID
from harness.tracking.tracker import Tracker
from tests.fakes import fake_result, fake_run


def _runs(tracker: Tracker, tag: str) -> list[Any]:
    client = tracker._open()
    return list(pages(client, [e.experiment_id for e in client.search_experiments()], f"tags.`{tag}` != ''"))


def _started(run: Any) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id


def _check(tracker: Tracker) -> None:
    """Every finished run has the one parent of its family, and each parent the figures of its newest seeds."""
    parents, members = _runs(tracker, PARENT), [r for r in _runs(tracker, RUN_ID) if r.info.status == "FINISHED"]
    assert len({run.data.tags[FAMILY] for run in parents}) == len(parents)
    for parent in parents:
        own = [run for run in members if run.data.tags[FAMILY] == parent.data.tags[FAMILY]]
        assert own, "an empty parent"
        assert {run.data.tags[PARENT_RUN] for run in own} == {parent.info.run_id}
        seeds = {r.data.tags["harness.seed"]: r.data.metrics for r in sorted(own, key=_started)}
        values = [metrics["frame_auc"] for metrics in seeds.values()]
        assert parent.data.metrics["seeds"] == len(values)
        assert parent.data.metrics["frame_auc"] == pytest.approx(statistics.fmean(values), abs=1e-12)
        if len(values) > 1:
            assert parent.data.metrics["sd/frame_auc"] == pytest.approx(statistics.stdev(values), abs=1e-12)
        assert parent.info.status == "FINISHED"
        assert parent.info.end_time == max(run.info.end_time for run in own)
    assert {run.data.tags[PARENT_RUN] for run in members} == {run.info.run_id for run in parents}


def _record(tracker: Tracker, later: int = 0, **fields: Any) -> RunResult:
    result = fake_run(tracker.out, **fields)
    times = {"started": result.started + later, "ended": result.ended + later}
    write_json(tracker.out / result.id / "run.json", result.model_copy(update=times).model_dump())
    tracker.record(tracker.out / result.id)
    return result


def _send(tracker: Tracker, **fields: Any) -> None:
    """Hand over a finished run as a matrix does."""
    result = fake_run(tracker.out, **fields)
    tracker.send(result.model_copy(update={"directory": str(tracker.out / result.id)}))


def test_a_matrix_counts_the_runs_of_its_families_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def noted(client: Any, experiment: str, family: str) -> None:
        counted.append(family)
        gather(client, experiment, family)

    gather = families.gather
    monkeypatch.setattr("harness.tracking.tracker.gather", noted)
    tracker = Tracker(None, tmp_path)
    for seed in range(4):
        for method in ("alpha", "beta"):
            _send(tracker, method=method, seed=seed)
    assert (len(_runs(tracker, RUN_ID)), _runs(tracker, PARENT), counted) == (8, [], [])
    assert tracker.sync() == []
    assert len(counted) == len(set(counted)) == 2
    _check(tracker)
    # While it goes on for longer than a look takes, parents are brought up to date in between.
    monkeypatch.setattr("harness.tracking.tracker._EVERY", 0.0)
    _send(tracker, method="alpha", seed=4)
    _check(tracker)


def test_seeds_that_come_later_and_are_replaced(tmp_path: Path) -> None:
    tracker = Tracker(None, tmp_path)
    first = _record(tracker)
    _check(tracker)
    changes: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 2},
        {"seed": 1, "code": "other", "later": 9000},
        {"seed": 2, "code": "older", "later": -9000},
        {"method": "beta"},
        {"selection": "oracle"},
    ]
    for fields in changes:
        _record(tracker, **fields)
        _check(tracker)
    changed = first.model_copy(update={"metrics": {**first.metrics, "frame_auc": 0.1}})
    write_json(tmp_path / first.id / "run.json", changed.model_dump())
    tracker.record(tmp_path / first.id)
    _check(tracker)
    (alpha, *_) = (run for run in _runs(tracker, PARENT) if run.info.run_name.startswith("alpha-toy-last"))
    assert alpha.data.tags["harness.seeds"] == "0, 1, 2"
    assert "3 seeds (0, 1, 2)" in alpha.data.tags["mlflow.note.content"]
    assert set(alpha.data.params).isdisjoint(SEEDED)
    assert alpha.data.params["config.lr"] == "0.0001"
    assert len(_runs(tracker, PARENT)) == 3
    assert {run.result.id for run in tracker.runs()} == {run.data.tags[RUN_ID] for run in _runs(tracker, RUN_ID)}
    assert tracker.failures() == []


def test_a_parent_is_no_run(tmp_path: Path) -> None:
    tracker = Tracker(None, tmp_path)
    result = _record(tracker)
    assert [run.result for run in tracker.runs()] == [result]
    assert len(tracker._contents()) == 1
    assert tracker.sync() == []
    assert len(_runs(tracker, PARENT)) == 1


@pytest.mark.parametrize("step", ["log", "set_tag", "set_terminated"])
def test_what_a_crash_left_undone_is_done_by_the_next_sync(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(None, tmp_path)
    _record(tracker)
    result = fake_run(tmp_path, seed=1)
    client, gather = tracker._open(), families.gather

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def cut_off(*arguments: Any) -> None:
        with monkeypatch.context() as inner:
            inner.setattr(*((families, "log") if step == "log" else (client, step)), crash)
            gather(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("harness.tracking.tracker.gather", cut_off)
        with pytest.raises(KeyboardInterrupt):
            tracker.record(tmp_path / result.id)
    assert len(tracker.runs()) == 2, "the run itself is whole"
    assert Tracker(None, tmp_path).sync() == []
    _check(tracker)


def test_double_and_empty_parents_go(tmp_path: Path) -> None:
    tracker = Tracker(None, tmp_path)
    result = _record(tracker)
    (own,) = _runs(tracker, PARENT)
    client, experiment, family = tracker._open(), own.info.experiment_id, family_of(result)
    for tags in ({FAMILY: family, PARENT: "parent"}, {FAMILY: "of nobody", PARENT: "parent"}):
        made = client.create_run(experiment, own.info.start_time + 1, tags=tags)
        client.set_terminated(made.info.run_id)
    assert len(tracker.runs()) == 1
    assert tracker.sync() == []
    assert [run.info.run_id for run in _runs(tracker, PARENT)] == [own.info.run_id], "the oldest stays"
    client.delete_run(own.info.run_id)
    assert tracker.sync() == []
    _check(tracker)
    (run,) = tracker.runs()
    client.delete_run(run.mlflow_id)
    tracker._gather_loose()
    assert _runs(tracker, PARENT) == []


def test_what_others_record_meanwhile_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Tracker(None, tmp_path / "one"), Tracker(f"sqlite:///{tmp_path}/one/mlflow.db", tmp_path / "two")
    _record(one)
    late, means = fake_run(other.out, seed=5), families._means

    def slowly(numbers: Any) -> Any:
        monkeypatch.setattr(families, "_means", means)
        other.record(other.out / late.id)
        return means(numbers)

    monkeypatch.setattr(families, "_means", slowly)
    _record(one, seed=1)
    _check(one)
    (parent,) = _runs(one, PARENT)
    assert parent.data.metrics["seeds"] == 3


def test_a_family_is_a_row_of_a_leaderboard() -> None:
    same = {
        family_of(fake_result(seed=seed, device=device, code=device)) for seed in (0, 1) for device in ("cpu", "cuda")
    }
    assert same == {family_of(fake_result())}
    others: list[dict[str, Any]] = [
        *({"method": "beta"}, {"dataset": "other"}, {"selection": "val"}, {"config": {"lr": 2}}, {"preset": "paper"}),
        *({"features": "i3d"}, {"feature_hash": "g"}, {"dataset_hash": "e"}, {"protocol": "q"}, {"precision": "bf16"}),
        *({"text_tower": "t"}, {"scale": 2.0}, {"checkpoint": "w"}, {"partial": "1 of 2"}, {"excluded": ("v",)}),
        *({"trained_on": "x"}, {"reading": "causal"}, {"vocabulary": ("Fight",)}, {"disturbance": "label-noise 0.2"}),
        {"track": "glance"},
    ]
    assert len({family_of(fake_result(**fields)) for fields in others} - same) == len(others)
