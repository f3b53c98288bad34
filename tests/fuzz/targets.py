"""The readers of foreign files, each with small valid files to damage."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from harness import parity
from harness.bench import regressions
from harness.claims import Claims
from harness.convert import convert
from harness.data.bank import Bank, bank_path, content_files
from harness.data.card import read_card
from harness.data.cards import find_card
from harness.data.hf import export_bank, import_exported
from harness.entrants import _result
from harness.estimate import Estimates
from harness.evaluate import Request as Evaluation
from harness.evaluate import _loaded
from harness.execute import spec_of
from harness.fidelity import fidelity, own_record
from harness.files import file_digest, write_json
from harness.history import read_history
from harness.matrix import plan, read_matrix
from harness.predictions import Predictions
from harness.registry import method_class, method_names
from harness.score import Request, score
from harness.scored_files import read_scores
from harness.selection import Selector
from harness.submission import bundle
from harness.submission.judge import judge
from harness.submission.pack import pack
from harness.text import load_text_tower
from harness.track_format import params, points, read_run, tags
from harness.train import train
from harness.truth import GroundTruth
from tests.data.trees import Tree, ucf_tree
from tests.submission.changes import run_of
from tests.test_checkpoints import official
from tests.test_train import _last, _new

Paths = list[Path]


@dataclass(frozen=True)
class Target:
    """`make` writes valid files into an empty directory and returns those to damage; `read` reads them again.

    HARNESS_HOME is `home` in that directory for both.
    """

    make: Callable[[Path], Paths]
    read: Callable[[Path], object]


def _quiet(_: str) -> None:
    pass


def _imported(root: Path) -> tuple[Tree, Bank]:
    tree = ucf_tree(root / "ucf")
    tree.load()
    return tree, Bank(bank_path(tree.card.name, "clip"))


def _run(root: Path) -> Path:
    """A finished run on an imported set."""
    return run_of(_imported(root)[1], root / "runs")


def _weights(save: Callable[[dict[str, torch.Tensor], Path], object], name: str) -> Target:
    def make(root: Path) -> Paths:
        save(official(), root / name)
        return [root / name]

    return Target(make, lambda root: convert([root / name], "deepmil", None, {}, None, _quiet))


def _legacy(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"model": state, "epoch": 3}, path, _use_new_zipfile_serialization=False)


def _checkpoint(root: Path) -> Paths:
    save_file(official(), root / "official.safetensors")
    converted = convert([root / "official.safetensors"], "deepmil", None, {}, None, _quiet)
    converted.save(root / "model.safetensors")
    return [root / "model.safetensors"]


def _evaluated(root: Path) -> object:
    path = root / "model.safetensors"
    request = Evaluation(checkpoints=(str(path),), dataset="demo", out=root)
    return _loaded(request, [path], find_card("demo"), path.name, _quiet)


def _resume(root: Path) -> Paths:
    (root / "resume.pt").unlink(missing_ok=True)
    method, batches = _new()

    def stop(done: int, _: int) -> None:
        if done == 5:
            raise InterruptedError

    with contextlib.suppress(InterruptedError):
        train(method, batches, _last(), checkpoint=root / "resume.pt", progress=stop)
    return [root / "resume.pt"]


def _resumed(root: Path) -> object:
    selector: Selector = _last()
    return train(*_new(), selector, checkpoint=root / "resume.pt")


def _table(name: str) -> Target:
    def make(root: Path) -> Paths:
        rows = {
            "video_id": ["a"] * 4 + ["b"] * 3,
            "pred": [0.1, 0.9, 0.4, 0.5, 0.25, 0.0, 0.75],
            "gt": [0, 1, 1, 0, 0, 0, 0],
        }
        table = pd.DataFrame(rows)
        if name.endswith(".parquet"):
            table.to_parquet(root / name)
        else:
            table.to_csv(root / name, index=False)
        return [root / name]

    return Target(make, lambda root: score(Request(root / name)))


def _texts(root: Path) -> Paths:
    for name in "ab":
        (root / "scores").mkdir(exist_ok=True)
        (root / f"scores/{name}.txt").write_text("0.1\n0.5\n0.75\n")
    return sorted((root / "scores").iterdir())


def _tree(root: Path) -> Paths:
    tree = ucf_tree(root / "ucf")
    write_json(root / "card.json", tree.card.model_dump(mode="json"))
    return sorted(path for path in tree.root.rglob("*") if path.is_file())


def _import(root: Path) -> object:
    shutil.rmtree(root / "home", ignore_errors=True)
    return Tree(root / "ucf", read_card(root / "card.json")).load()


def _card(root: Path) -> Paths:
    return [Path(ucf_tree(root / "ucf").write_card())]


def _bank(root: Path) -> Paths:
    return sorted(_imported(root)[1].path.iterdir())


def _opened(root: Path) -> object:
    """Opens a bank whose hashes fit what its files hold, or the damage would only ever be a wrong hash."""
    path = bank_path("small-ucf", "clip")
    try:
        info = json.loads((path / "bank.json").read_text())
        info["files"] |= {name: file_digest(path / name) for name in content_files()}
        (path / "bank.json").write_text(json.dumps(info))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        pass
    bank = Bank(path)
    found = [bank.split("train"), bank.split("test")]
    sums = [float(split.item_features(index).sum()) for split in found for index in range(len(split.items))]
    spec = spec_of(
        "random",
        method_class("random").Config(),
        bank,
        None,
        preset="fast",
        seed=0,
        selection="last",
        device="cpu",
        threads=1,
    )
    return sums, [split.labels for split in found], bank.truth(), bank.excluded, bank.variants, spec.run_id


def _exported(root: Path) -> Paths:
    _, bank = _imported(root)
    export_bank(bank, root / "exported")
    return sorted(path for path in (root / "exported").rglob("*") if path.is_file())


def _reimported(root: Path) -> object:
    return import_exported(root / "exported", read_card(bank_path("small-ucf", "clip") / "card.yaml"))


def _record(root: Path) -> Paths:
    directory = _run(root).rename(root / "runs/run")  # its id is another one with every change of the code
    return [directory / name for name in ("run.json", "history.json", "truth.json", "predictions.npz")]


def _recorded(root: Path) -> object:
    (directory,) = (root / "runs").iterdir()
    Estimates(root / "runs")
    result, content = read_run(directory)
    _result(directory)
    read = points(result, directory), params(result), tags(result, content), read_history(directory / "history.json")
    return read, Predictions.load(directory / "predictions.npz"), GroundTruth.load(directory / "truth.json")


def _matrix(root: Path) -> Paths:
    document = {
        "methods": ["deepmil", "floor"],
        "datasets": ["demo"],
        "seeds": [0, 1],
        "preset": "fast",
        "selection": ["last"],
        "set": {"deepmil": {"epochs": 2}},
        "sweep": {"deepmil": {"lr": [0.001, 0.01]}},
    }
    (root / "matrix.yaml").write_text(yaml.safe_dump(document))
    find_card("demo")
    return [root / "matrix.yaml"]


def _planned(root: Path) -> object:
    return plan(read_matrix(root / "matrix.yaml"), root, threads=1)


def _claim(root: Path) -> Paths:
    (root / "claims").mkdir()
    with Claims(root / "claims") as claims:
        claims.take("a-run")
        shutil.copy(root / "claims/a-run", root / "a-run")
    return [Path(shutil.move(root / "a-run", root / "claims/a-run"))]


def _claimed(root: Path) -> object:
    with Claims(root / "claims") as claims:
        return claims.take("a-run")


def _submission(root: Path) -> Paths:
    pack([_run(root)], root / "submission.zip")
    return [root / "submission.zip"]


def _judged(root: Path) -> object:
    return [judge(entry, None) for entry in bundle.read(root / "submission.zip")]


def _benchmark(root: Path) -> Paths:
    row = {
        "method": "deepmil",
        "preset": "fast",
        "spread": 0.02,
        "frames_per_second": 1000.0,
        "latency_ms": {"p50": 3.0},
    }
    document: dict[str, Any] = {
        "machine": {"processor": "x", "gpu": "", "cores": 2},
        "time": "2026-01-01",
        "rows": [row],
    }
    for name in ("before", "after"):
        write_json(root / f"{name}.json", document)
    return [root / "before.json", root / "after.json"]


def _compared(root: Path) -> object:
    return regressions.changes(regressions.read(root / "before.json"), regressions.read(root / "after.json"))


def _fidelity(root: Path) -> Paths:
    own_record().parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).resolve().parents[2] / "reports/parity.json", own_record())
    return [own_record()]


def _faithful(root: Path) -> object:
    return [fidelity(method_class(name)) for name in method_names()]


def _case(root: Path) -> Paths:
    source = Path(__file__).resolve().parents[1] / "parity/hlnet-loss"
    shutil.copytree(source, root / "case")
    return sorted(path for path in (root / "case").iterdir() if path.suffix in (".json", ".npz"))


def _checked(root: Path) -> object:
    return parity.check(parity.read_case(root / "case"))


def _tower(root: Path) -> Paths:
    from harness.text import _byte_tokenizer

    load_text_tower(None).model.save_pretrained(root / "tower")
    _byte_tokenizer().save_pretrained(root / "tower")
    return sorted(path for path in (root / "tower").iterdir() if path.is_file())


def _encoded(root: Path) -> object:
    return load_text_tower(str(root / "tower")).encode(["a normal street"])


TARGETS: dict[str, Target] = {
    "official-zip": _weights(torch.save, "official.pth"),
    "official-legacy": _weights(_legacy, "official.pkl"),
    "official-safetensors": _weights(lambda state, path: save_file(state, path), "official.safetensors"),
    "checkpoint": Target(_checkpoint, _evaluated),
    "resume": Target(_resume, _resumed),
    "scores-csv": _table("scores.csv"),
    "scores-gz": _table("scores.csv.gz"),
    "scores-parquet": _table("scores.parquet"),
    "scores-txt": Target(_texts, lambda root: read_scores(root / "scores")),
    "import": Target(_tree, _import),
    "card": Target(_card, lambda root: read_card(root / "small-ucf.yaml")),
    "bank": Target(_bank, _opened),
    "hugging-face": Target(_exported, _reimported),
    "run": Target(_record, _recorded),
    "matrix": Target(_matrix, _planned),
    "claim": Target(_claim, _claimed),
    "submission": Target(_submission, _judged),
    "benchmark": Target(_benchmark, _compared),
    "fidelity": Target(_fidelity, _faithful),
    "parity-case": Target(_case, _checked),
    "text-tower": Target(_tower, _encoded),
}
