"""No foreign file makes the harness execute something, or read and write where it was not told to."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.data.bank import Bank, bank_path
from harness.data.card import read_card
from harness.data.hf import export_bank, import_exported
from harness.errors import HarnessError
from harness.io.atomic import read_json, write_json
from harness.io.digests import file_digest
from harness.parity import cases as parity
from harness.records.predictions import Predictions
from harness.runs.matrix import read_matrix
from harness.submissions import bundle
from harness.training.loop import train
from harness.weights.readers import read_weights
from tests.data.trees import DIM, Tree, ucf_tree
from tests.submissions.changes import write
from tests.training.test_loop import _last, _new

ROOT = Path(__file__).resolve().parents[1]
# What loads or runs code, and what makes a loader safe.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "shutil.unpack_archive"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.jit.load", "torch.hub.load", "pd.read_pickle"),
}
SAFE = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
SAFE |= {"np.lib.format.read_array": ("allow_pickle", False)}
# One unpickler of ours knows tensors and containers alone; tests/weights/test_torchscript.py tries hostile archives.
RESTRICTED = {"harness/weights/torchscript.py": ["pickle"]}
LOADERS = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}


def unsafe(source: str) -> list[str]:
    """What in a source loads or runs code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            keyword, value = SAFE.get(name, ("", None))
            if (
                name in FORBIDDEN
                or name.endswith(".extractall")
                or given.get("shell")
                or given.get(keyword) is not value
            ):
                found.append(name)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in LOADERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LOADERS:
            found += [alias.name for alias in node.names if not alias.name.endswith("Error")]
    return found


def test_nothing_loads_or_runs_code() -> None:
    sources = [path for folder in ("harness", "methods") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): unsafe(path.read_text(encoding="utf-8")) for path in sources}
    assert {path: lines for path, lines in found.items() if lines} == RESTRICTED
    assert len(found) > 100


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t, Loader=L)",
        "eval(t)",
        "subprocess.run(t, shell=True)",
        "archive.extractall(p)",
        "import pickle",
        "from joblib import load",
    ],
)
def test_the_check_sees_what_it_is_for(line: str) -> None:
    assert unsafe(line)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tree(home: Path, tmp_path: Path) -> Tree:
    return ucf_tree(tmp_path / "data" / "ucf")


def _outside(tree: Tree) -> Path:
    """A valid feature file beside the root, the only one of its name."""
    path = tree.root.parent / "Abuse001_x264__0.npy"
    (inside,) = tree.root.rglob(path.name)
    shutil.move(inside, path)
    return path


@pytest.mark.parametrize(
    "written",
    [
        "../Abuse001_x264__0.npy",
        "Abuse/../../Abuse001_x264__0.npy",
        "..\\Abuse001_x264__0.npy",
        "{root}/../Abuse001_x264__0.npy",
        "{outside}",
    ],
)
def test_no_row_of_a_list_reaches_a_file_outside_of_the_root(tree: Tree, written: str) -> None:
    outside = _outside(tree)
    lines = (tree.root / "train.csv").read_text().splitlines()
    (row,) = (n for n, line in enumerate(lines) if "Abuse001_x264__0.npy" in line)
    text = written.format(root=tree.root, outside=outside)
    lines[row] = f"{text},{lines[row].rpartition(',')[2]}"
    tree.text("train.csv", *lines)
    with pytest.raises(HarnessError, match=rf"train\.csv:{row + 1}: .*(leaves the root|is not under)"):
        tree.load()


def test_a_link_that_the_user_put_into_the_root_counts(tree: Tree) -> None:
    outside = _outside(tree)
    (tree.root / outside.name).symlink_to(outside)
    assert len(tree.load().bank.split("train").items) == 6


@pytest.mark.parametrize("field", ["list", "annotations"])
@pytest.mark.parametrize("absolute", [True, False])
def test_no_card_reaches_a_file_outside_of_the_root(tree: Tree, field: str, absolute: bool) -> None:
    name = {"list": "train.csv", "annotations": "annotations.txt"}[field]
    shutil.move(tree.root / name, tree.root.parent / name)
    other = str(tree.root.parent / name) if absolute else f"../{name}"
    if field == "list":
        splits = {key: split.model_dump() for key, split in tree.card.splits.items()}
        tree.change(splits={**splits, "train": {**splits["train"], "list": other}})
    else:
        assert tree.card.annotations is not None
        tree.change(annotations={**tree.card.annotations.model_dump(), "path": other})
    with pytest.raises(HarnessError, match="outside of"):
        tree.load()


class Payload:
    """Makes a directory when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def _objects(marker: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[Payload(marker)] * DIM], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _archive(path: Path, marker: Path, **arrays: Any) -> None:
    np.savez(path, allow_pickle=True, **arrays, bad=np.array([Payload(marker)], dtype=object))


def _predictions(tmp: Path, marker: Path) -> None:
    path = tmp / "predictions.npz"
    np.savez(path, allow_pickle=True, scores=np.array([Payload(marker)], dtype=object))
    Predictions.load(path)


def _parity(tmp: Path, marker: Path) -> None:
    shutil.copytree(ROOT / "tests/parity/deepmil-pool", tmp / "case")
    _archive(tmp / "case/expected.npz", marker)
    parity.check_case(parity.read_case(tmp / "case"))


def _features(tmp: Path, marker: Path) -> None:
    tree = ucf_tree(tmp / "data/ucf")
    next(tree.root.rglob("Abuse001*.npy")).write_bytes(_objects(marker))
    tree.load()


def _bank(tmp: Path, marker: Path) -> None:
    ucf_tree(tmp / "data/ucf").load()
    path = bank_path("small-ucf", "clip")
    (path / "test.npy").write_bytes(_objects(marker))
    info = read_json(path / "bank.json")
    write_json(path / "bank.json", {**info, "files": {**info["files"], "test.npy": file_digest(path / "test.npy")}})
    Bank(path).split("test")


def _official(tmp: Path, marker: Path) -> None:
    torch.save({"weight": torch.zeros(2), "epoch": Payload(marker)}, tmp / "model.pth")
    read_weights(tmp / "model.pth")


def _renamed(tmp: Path, marker: Path) -> None:
    (tmp / "model.safetensors").write_bytes(pickle.dumps({"weight": Payload(marker)}))
    read_weights(tmp / "model.safetensors")


def _resume(tmp: Path, marker: Path) -> None:
    content = io.BytesIO()
    torch.save({"method": Payload(marker)}, content)
    (tmp / "resume.pt").write_bytes(content.getvalue() + hashlib.sha256(content.getvalue()).digest())
    train(*_new(), _last(), checkpoint=tmp / "resume.pt")


def _yaml(read: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    def load(tmp: Path, marker: Path) -> None:
        (tmp / "file.yaml").write_text(f"methods: !!python/object/apply:os.mkdir ['{marker}']\n")
        read(tmp / "file.yaml")

    return load


def _scores(tmp: Path, marker: Path) -> None:
    from harness.scoring.files import read_scores

    (tmp / "scores.csv").write_bytes(pickle.dumps(Payload(marker)))
    read_scores(tmp / "scores.csv")


PLACES: dict[str, Callable[[Path, Path], None]] = {
    "predictions": _predictions,
    "parity case": _parity,
    "features": _features,
    "bank": _bank,
    "official checkpoint": _official,
    "pickle called safetensors": _renamed,
    "resume file": _resume,
    "matrix": _yaml(read_matrix),
    "card": _yaml(read_card),
    "scores": _scores,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("home")
def test_code_is_refused_and_not_executed(place: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    # The payload acts.
    pickle.loads(pickle.dumps(Payload(tmp_path / "works")))  # noqa: S301
    assert (tmp_path / "works").is_dir()
    if place == "resume file":  # which is put aside, and training starts anew
        PLACES[place](tmp_path, marker)
        assert (tmp_path / "resume.damaged").exists()
    else:
        with pytest.raises(HarnessError):
            PLACES[place](tmp_path, marker)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/harness-evil", "runs/../../evil", "runs\\..\\evil"])
def test_no_member_of_an_archive_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    write(tmp_path / "inner" / "submission.zip", {name: b"x"})
    with pytest.raises(HarnessError):
        bundle.read(tmp_path / "inner" / "submission.zip")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "submission.zip"]
    assert not Path("/tmp/harness-evil").exists()


def test_an_exported_set_writes_nothing_outside_of_its_bank(tree: Tree, tmp_path: Path) -> None:
    tree.load()
    export_bank(Bank(bank_path("small-ucf", "clip")), tmp_path / "exported")
    info = read_json(tmp_path / "exported/bank.json")
    shutil.copy(tmp_path / "exported/truth.json", tmp_path / "evil.json")
    info["files"]["truth@/../../../evil.json"] = "0"
    write_json(tmp_path / "exported/bank.json", info)
    before = (tmp_path / "evil.json").stat().st_mtime_ns
    with pytest.raises(HarnessError):
        import_exported(tmp_path / "exported", tree.card)
    assert (tmp_path / "evil.json").stat().st_mtime_ns == before
    assert len(list(tmp_path.rglob("evil*"))) == 1
