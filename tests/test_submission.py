"""Submissions: what is packed verifies elsewhere, every falsehood is found and named, every bad file is one line."""

from __future__ import annotations

import io
import json
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.bank import Bank, bank_path
from harness.execute import spec_of
from harness.files import digest, write_json
from harness.metrics.protocol import evaluate
from harness.predictions import Predictions
from harness.registry import method_class
from harness.spec import RunResult, RunSpec
from harness.submission.archive import StoredZip, stored
from harness.truth import GroundTruth
from tests.data.trees import Tree, mask_tree, ucf_tree

Harness = Callable[..., tuple[int, str, str]]
Files = dict[str, bytes]


COST = b"""
"cost": {"train_seconds": -1, "predict_seconds": 1, "test_snippets_per_second": 1, "test_frames_per_second": 1,
"parameters": 1, "trainable_parameters": 1}"""


def run_of(bank: Bank, out: Path, seed: int = 0, classify: bool = True, **changes: Any) -> Path:
    """Write a finished run of made-up scores on the test set of a bank; `changes` go into the spec."""
    spec = spec_of(
        "random",
        method_class("random").Config(),
        bank,
        None,
        **{"preset": "fast", "seed": seed, "selection": "last", "device": "cpu", "threads": 1},
    ).model_copy(update=changes)
    rng, truth = np.random.default_rng(seed), bank.truth()
    items = bank.split("test").items
    offsets = np.cumsum([0, *(item.snippets for item in items)])
    probs = rng.dirichlet(np.ones(len(truth.classes)), offsets[-1]).astype(np.float32) if classify else None
    scores = rng.random(offsets[-1]).astype(np.float32)
    predictions = Predictions(
        tuple(item.video for item in items), offsets, scores, truth.alignment, truth.classes, probs
    )
    return write_run(out, spec, predictions, truth)


def write_run(out: Path, spec: RunSpec, predictions: Predictions, truth: GroundTruth) -> Path:
    """Write a run directory whose metrics fit its scores; nothing of it needs to fit a data set."""
    directory = out / spec.run_id
    directory.mkdir(parents=True)
    predictions.save(directory / "predictions.npz")
    truth.save(directory / "truth.json")
    history = {"epochs": [{"epoch": 1, "step": 3, "loss": 0.5, "terms": {}, "lr": [0.1], "seconds": 1.0}], "looks": []}
    write_json(directory / "history.json", history)
    found = evaluate(predictions, truth)
    result = RunResult.of(
        spec,
        "ok",
        metrics=found.metrics,
        class_auc=found.class_auc,
        videos=found.videos,
        frames=found.frames,
        excluded=list(truth.excluded),
        directory=str(directory),
    )
    write_json(directory / "run.json", result.model_dump(mode="json"))
    return directory


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "ucf")


@pytest.fixture
def bank(tree: Tree) -> Bank:
    tree.load()
    return Bank(bank_path(tree.card.name, "clip"))


@pytest.fixture
def packed(bank: Bank, tmp_path: Path, harness: Harness) -> Path:
    """A submission of one run."""
    directory = run_of(bank, tmp_path / "runs")
    code, _, err = harness("submit", str(directory), "--out", str(tmp_path / "s.zip"))
    assert code == 0, err
    return tmp_path / "s.zip"


def contents(path: Path) -> Files:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: Files) -> None:
    with path.open("wb") as stream:
        stored(files, stream)


def name_of(files: Files, file: str) -> str:
    return next(name for name in files if name.endswith(file))


def rehash(files: Files) -> None:
    """Make the manifest fit its files again, as somebody who tampers with care does."""
    manifest = json.loads(files["manifest.json"])
    for run, entry in manifest["runs"].items():
        entry["files"] = {file: digest(files[f"runs/{run}/{file}"]) for file in entry["files"]}
    files["manifest.json"] = json.dumps(manifest).encode()


def edit_json(files: Files, file: str, edit: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(files[name_of(files, file)])
    edit(value)
    files[name_of(files, file)] = json.dumps(value).encode()


def edit_spec(files: Files, **changes: Any) -> None:
    """Change settings and everything that follows from them: id, folder, manifest."""
    result = RunResult.model_validate_json(files[name_of(files, "run.json")])
    assert result.spec is not None
    spec = result.spec.model_copy(update=changes)
    shared = {name: value for name, value in changes.items() if name in RunResult.model_fields}
    changed = result.model_copy(update={"spec": spec, "id": spec.run_id, **shared})
    for name in [name for name in files if name.startswith("runs/")]:
        files[name.replace(result.id, spec.run_id)] = files.pop(name)
    files[f"runs/{spec.run_id}/run.json"] = changed.model_dump_json().encode()
    files["manifest.json"] = files["manifest.json"].replace(result.id.encode(), spec.run_id.encode())


def edit_scores(files: Files, edit: Callable[[dict[str, Any]], None]) -> None:
    name = name_of(files, "predictions.npz")
    with np.load(io.BytesIO(files[name])) as arrays:
        value = {key: arrays[key].copy() for key in arrays.files}
    edit(value)
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **value)
    files[name] = stream.getvalue()


def one_score(arrays: dict[str, Any]) -> None:
    arrays["scores"][arrays["scores"].argmax()] = 0


def drop_video(arrays: dict[str, Any]) -> None:
    end = arrays["offsets"][-2]
    arrays |= {"videos": arrays["videos"][:-1], "offsets": arrays["offsets"][:-1]}
    arrays |= {"scores": arrays["scores"][:end], "class_probs": arrays["class_probs"][:end]}


def extra_video(arrays: dict[str, Any]) -> None:
    arrays["videos"] = np.array([*arrays["videos"], "Bonus001"])
    arrays["offsets"] = np.append(arrays["offsets"], arrays["offsets"][-1] + 1)
    arrays["scores"] = np.append(arrays["scores"], np.float32(0))
    arrays["class_probs"] = np.concatenate([arrays["class_probs"], arrays["class_probs"][:1]])


def drop_row(arrays: dict[str, Any]) -> None:
    arrays["offsets"][-1] -= 1
    arrays |= {"scores": arrays["scores"][:-1], "class_probs": arrays["class_probs"][:-1]}


def swap_classes(arrays: dict[str, Any]) -> None:
    arrays["classes"] = arrays["classes"][::-1].copy()


def verdict(harness: Harness, path: Path, *arguments: str) -> tuple[int, list[str]]:
    code, out, err = harness("verify-submission", str(path), *arguments, "--json")
    assert code in (0, 1) or not err
    document = json.loads(out)
    assert (document["verdict"] == "accepted") == (code == 0)
    return code, [reason for run in document["runs"] for reason in run["reasons"]]


def test_packs_a_method_and_equal_runs_give_equal_bytes(bank: Bank, tmp_path: Path, harness: Harness) -> None:
    names = sorted(run_of(bank, tmp_path / "runs", seed=seed, classify=seed == 1).name for seed in (0, 1))
    places = ("--runs", str(tmp_path / "runs"), "--out")
    for words, file in ((["random"], "a.zip"), ([names[1], str(tmp_path / "runs" / names[0])], "b.zip")):
        code, out, err = harness("submit", *words, *places, str(tmp_path / file), "--json")
        assert (code, json.loads(out)["runs"]) == (0, names), err
    data = (tmp_path / "a.zip").read_bytes()
    assert data == (tmp_path / "b.zip").read_bytes()
    assert str(tmp_path).encode() not in data
    code, out, _ = harness("verify-submission", str(tmp_path / "a.zip"), "--json")
    document = json.loads(out)
    assert (code, document["verdict"], [run["run"] for run in document["runs"]]) == (0, "accepted", names)
    for run in document["runs"]:
        stored_result = json.loads((tmp_path / "runs" / run["run"] / "run.json").read_text())
        assert run["metrics"] == stored_result["metrics"]
        assert run["features_checked"] is True


def test_only_runs_that_hold_are_packed(bank: Bank, tmp_path: Path, harness: Harness) -> None:
    directory = run_of(bank, tmp_path / "runs")
    target = ("--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "s.zip"))
    assert "no method with finished runs" in harness("submit", "deepmil", *target)[2]
    assert "ends in .zip" in harness("submit", "random", "--out", str(tmp_path / "s.tar"))[2]
    value = json.loads((directory / "run.json").read_text())
    write_json(directory / "run.json", {**value, "metrics": {**value["metrics"], "frame_auc": 0.99}})
    code, _, err = harness("submit", "random", *target)
    assert (code, err.count("\n")) == (2, 1)
    assert "frame_auc 0.99, here" in err
    write_json(directory / "run.json", {**value, "status": "failed"})
    assert "no method with finished runs" in harness("submit", "random", *target)[2]
    assert "status is failed" in harness("submit", str(directory), *target)[2]
    assert not (tmp_path / "s.zip").exists()


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (one_score, "metrics are not those of the scores: "),
        (drop_video, "lacks scores of 1 test videos, such as Arrest001_x264"),
        (extra_video, "has scores of 1 videos that are no test videos, such as Bonus001"),
        (drop_row, "1 videos have more or fewer scores than snippets, such as Arrest001_x264 with 6"),
        (swap_classes, "other classes: Arrest, Abuse, Normal; here Normal, Abuse, Arrest"),
    ],
)
def test_changed_scores_are_found_by_hash_and_by_metrics(
    packed: Path, harness: Harness, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    files = contents(packed)
    edit_scores(files, edit)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert code == 1
    assert reasons[0].startswith("predictions.npz was changed: its hash")
    assert any(line.startswith(reason) for line in reasons), reasons
    rehash(files)
    write(packed, files)
    code, again = verdict(harness, packed)
    assert (code, again) == (1, reasons[1:])


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda run: run["metrics"].update(frame_auc=0.99),
            "metrics are not those of the scores: frame_auc 0.99, here",
        ),
        (lambda run: run["metrics"].pop("map_avg"), "metrics are not those of the scores: map_avg none, here 0."),
        (lambda run: run["metrics"].update(luck=1), "metrics are not those of the scores: luck 1, here none"),
        (lambda run: run["class_auc"].update(Abuse=1), "AUC by class are not those of the scores: Abuse 1, here 0."),
        (lambda run: run.update(frames=1), "counts are not those of the scores: frames 1, here 288"),
        (lambda run: run.update(excluded=["Abuse028_x264"]), "names 1 test videos without features, here they are 0"),
        (lambda run: run["spec"].update(dataset_hash="0" * 64), "its id is not the one that its settings give"),
        (lambda run: run.update(seed=7), "run.json says two things of its seed"),
        (lambda run: run.update(status="failed"), "is no finished run"),
    ],
)
def test_changed_results_are_found(
    packed: Path, harness: Harness, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    files = contents(packed)
    edit_json(files, "run.json", edit)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert code == 1
    assert reasons[0].startswith("run.json was changed: its hash")
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed)
    assert (code, len(reasons)) == (1, 1)
    assert reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_hash": "0" * 64}, "other features: their hash is 000000000000, here "),
        ({"features": "i3d"}, "other features: the card of small-ucf has no set i3d"),
        ({"dataset_hash": "0" * 64}, "other card of small-ucf: its hash is 000000000000, here "),
        ({"protocol": "stride, padded frames, primary frame_ap, mAP ucf"}, "other protocol: 'stride, padded frames,"),
        ({"dataset": "ucf-crime"}, "is a run on ucf-crime, not on small-ucf"),
    ],
)
def test_runs_of_another_test_set_are_rejected(
    packed: Path, tree: Tree, harness: Harness, changes: dict[str, Any], reason: str
) -> None:
    files = contents(packed)
    edit_spec(files, **changes)
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, "--dataset", tree.write_card())
    assert (code, len(reasons)) == (1, 1)
    assert reasons[0].startswith(reason)


def test_other_annotations_are_another_test_set(packed: Path, tree: Tree, harness: Harness) -> None:
    tree.edit("annotations.txt", "8  20", "9  20")
    tree.load()
    code, reasons = verdict(harness, packed)
    assert code == 1
    kinds = [reason.partition(":")[0] for reason in reasons]
    assert kinds[:3] == ["other features", "other ground truth", "metrics are not those of the scores"]


def test_annotation_files_alone_verify(packed: Path, bank: Bank, tree: Tree, harness: Harness) -> None:
    card = tree.write_card()
    shutil.rmtree(bank.path)
    code, out, err = harness("verify-submission", str(packed))
    assert (code, err) == (2, "")
    assert "not verified: dataset small-ucf is not known here" in out
    code, reasons = verdict(harness, packed, "--dataset", card)
    assert (code, "has not been imported" in reasons[0]) == (2, True)
    by_files = ("--dataset", card, "--root", str(tree.root))
    code, out, _ = harness("verify-submission", str(packed), *by_files)
    assert code == 0
    assert "features not checked" in out
    files = contents(packed)
    edit_scores(files, drop_video)
    # Metrics and manifest may fit what is left, but a test video is missing.
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, *by_files)
    assert (code, reasons[0].startswith("lacks scores of 1 test videos")) == (1, True)
    edit_json(files, "run.json", lambda run: run.update(excluded=["Arrest001_x264"]))
    rehash(files)
    write(packed, files)
    code, reasons = verdict(harness, packed, *by_files)
    assert (code, "only where these features are imported can that be checked" in reasons[0]) == (2, True)


def test_variants_and_frame_counts(tmp_path: Path, harness: Harness) -> None:
    tree = mask_tree(tmp_path / "masks")
    protocol = {**tree.card.protocol.model_dump(), "variants": {"padded": {"rule": "padded"}}}
    tree.change(protocol=protocol)
    tree.load()
    directories = [run_of(Bank(bank_path("small-masks", "tracks"), name), tmp_path / "runs") for name in ("", "padded")]
    file = tmp_path / "s.zip"
    assert harness("submit", *map(str, directories), "--out", str(file))[0] == 0
    assert verdict(harness, file) == (0, [])
    shutil.rmtree(bank_path("small-masks", "tracks"))
    card = tree.write_card()
    code, reasons = verdict(harness, file, "--dataset", f"{card}@padded", "--root", str(tree.root))
    assert (code, reasons) == (1, ["is a run on small-masks, not on small-masks@padded"])


def _bomb(files: Files, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _named(name: str) -> Callable[[Files, Path], None]:
    return lambda files, path: write(path, {**files, name: b"x"})


def _twice(files: Files, path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("manifest.json", "manifest.json"):
            archive.writestr(name, files[name])


def _link(files: Files, path: Path) -> None:
    entry = zipfile.ZipInfo("manifest.json")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")


def _overlapping(files: Files, path: Path) -> None:
    """Two directory entries that claim the same bytes."""
    write(path, {"a": bytes(5000), "b": b""})
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()
        second.header_offset, second.file_size, second.compress_size = first.header_offset, 5000, 5000
        second.CRC = first.CRC
        start = archive.start_dir
        directory = io.BytesIO()
        other = zipfile.ZipFile(directory, "w")
        other.filelist, other.NameToInfo, other._didModify = [first, second], {}, True  # type: ignore[attr-defined]
        other.start_dir = 0
        other.close()
    tail = bytearray(directory.getvalue())
    tail[-6:-2] = start.to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:start] + tail)


def _json_file(name: str, text: bytes | Callable[[bytes], bytes]) -> Callable[[Files, Path], None]:
    def make(files: Files, path: Path) -> None:
        full = name_of(files, name)
        write(path, {**files, full: text(files[full]) if callable(text) else text})

    return make


def _scores(edit: Callable[[dict[str, Any]], None]) -> Callable[[Files, Path], None]:
    def make(files: Files, path: Path) -> None:
        edit_scores(files, edit)
        write(path, files)

    return make


def _header(files: Files, path: Path) -> None:
    """Scores whose header promises a terabyte."""
    name = name_of(files, "predictions.npz")
    inner = contents_of(files[name])
    shape = json.loads(inner["scores.npy"].partition(b"'shape': (")[2].partition(b",")[0])
    old, new = f"({shape},), }}".encode(), b"(250000000000,), }"
    padded = old + b" " * (len(new) - len(old))
    assert padded in inner["scores.npy"]
    inner["scores.npy"] = inner["scores.npy"].replace(padded, new)
    stream = io.BytesIO()
    stored(inner, stream)
    write(path, {**files, name: stream.getvalue()})


def contents_of(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({key: value})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda files, path: path.write_bytes(b"no zip"), "not a zip file, or cut off"),
        (lambda files, path: path.write_bytes(path.read_bytes()[:-9]), "not a zip file, or cut off"),
        (lambda files, path: path.unlink(), "cannot be read (No such file or directory)"),
        (_bomb, "is compressed; entries are stored as they are"),
        (_overlapping, "its entries overlap"),
        (_named("../../x"), "entry '../../x' is no plain relative name"),
        (_named("/etc/x"), "entry '/etc/x' is no plain relative name"),
        (_named("runs/"), "entry 'runs/' is no plain relative name"),
        (_named("evil.pkl"), "unknown entry 'evil.pkl'"),
        (_twice, "entry 'manifest.json' is there twice"),
        (_link, "entry 'manifest.json' is no regular file"),
        (lambda files, path: write(path, {"x": b""}), "lacks manifest.json"),
        (_json_file("manifest.json", b"{}"), "manifest.json: field format: Field required"),
        (_json_file("manifest.json", b'{"format": 9}'), "a submission of format 9; this harness reads 1"),
        (_json_file("manifest.json", b"[" * 100_000), "manifest.json: not a readable JSON file"),
        (_json_file("run.json", b'"' + b"x" * (17 << 20) + b'"'), "run.json has 17,825,794 bytes, at most 16,777,216"),
        (_json_file("run.json", lambda b: b.replace(b'"seed"', b'"seeds"', 1)), "run.json: field seed: Field required"),
        (_json_file("run.json", lambda b: b.replace(b'"id"', b'"x":0,"id"', 1)), "run.json: field x: Extra inputs are"),
        (_json_file("run.json", lambda b: b.replace(b'"id"', b'"id":"","id"', 1)), "a field is there twice"),
        (_json_file("run.json", lambda b: b.replace(b'"videos": 3', b'"videos": NaN')), "NaN is no number"),
        (_json_file("run.json", lambda b: b.replace(b'"videos": 3', b'"videos": 1e999')), "not a readable JSON file"),
        (_json_file("run.json", lambda b: b.replace(b'"Abuse": ', b'"Abuse": "nan", "x": ')), "NaN is no number"),
        (_json_file("run.json", lambda b: b.replace(b'"seed": 0', b'"seed": 1' + b"0" * 400)), "is too large a number"),
        (_json_file("run.json", lambda b: b.replace(b'"log": ""', b'"log": ' + b"[" * 60 + b"]" * 60)), "too deeply"),
        (_json_file("run.json", lambda b: b.replace(b'"cost": null', COST)), "field cost.train_seconds: -1 is no such"),
        (
            _json_file("history.json", b'{"epochs": [], "looks": [{"epoch": 1, "step": 1, "value": 1e99}]}'),
            "looks.0.value",
        ),
        (_json_file("run.json", lambda b: b.replace(b'"log": ""', b'"log": "\\ud800"')), "surrogates not allowed"),
        (
            _json_file("history.json", b'{"epochs": [{"epoch": "one"}], "looks": []}'),
            "history.json: field epochs.0.epoch",
        ),
        (_json_file("history.json", b'{"epochs": [], "looks": [], "x": 1}'), "history.json: field x: Extra inputs"),
        (_scores(_set("scores", np.full(18, np.nan, np.float32))), "scores contain NaN or infinity"),
        (_scores(_set("class_probs", np.full((18, 3), np.inf, np.float32))), "class_probs contain NaN or infinity"),
        (_scores(_set("scores", np.zeros(18))), "scores is of type <f8, expected <f4"),
        (_scores(_set("videos", np.array([{}, 1, 2], dtype=object))), "videos is of type |O, expected text"),
        (_scores(_set("scores", np.zeros((18, 1), np.float32))), "scores says its shape is (18, 1)"),
        (_scores(_set("offsets", np.array([0, 2**63 - 1, -(2**63), 18]))), "offsets do not divide 18 scores"),
        (_scores(_set("offsets", np.array([0, 18]))), "offsets do not divide 18 scores among 3 videos"),
        (_scores(_set("alignment", np.array("{}"))), "the alignment is none"),
        (_scores(_set("extra", np.zeros(1))), "unknown array 'extra'"),
        (_scores(lambda arrays: arrays.pop("classes")), "lacks the array classes"),
        (_header, "scores says its shape is (250000000000,), which its 72 bytes are not"),
    ],
)
def test_what_is_no_submission_ends_in_one_line(
    packed: Path, harness: Harness, make: Callable[[Files, Path], None], reason: str
) -> None:
    make(contents(packed), packed)
    code, out, err = harness("verify-submission", str(packed))
    assert (code, out, err.count("\n")) == (2, "", 1), (out, err)
    assert err.startswith(f"error: {packed}")
    assert reason in err


def test_the_writer_makes_what_the_reader_takes() -> None:
    stream = io.BytesIO()
    stored({"b/x": b"2", "a": b"1"}, stream)
    archive = StoredZip(stream, "here")
    assert archive.names == ("a", "b/x")
    assert archive.read("b/x", 1) == b"2"
