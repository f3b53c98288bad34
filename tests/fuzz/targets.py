"""The readers of foreign files, each with small valid files to damage."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from safetensors.torch import save_file

from harness.bench import regressions
from harness.data.card import read_card
from harness.data.cards import find_card
from harness.io.atomic import write_json
from harness.parity import cases as parity
from harness.parity.record import fidelity, own_record
from harness.registry import method_class, method_names
from harness.runs.claims import Claims
from harness.runs.matrix import plan, read_matrix
from harness.scoring.files import read_scores
from harness.scoring.score import ScoringRequest, score_file
from harness.text.loading import load_text_tower
from harness.training.loop import train
from harness.training.selection import Selector
from harness.weights.convert import convert
from tests.data.trees import Tree, ucf_tree
from tests.fuzz import stored
from tests.fuzz.stored import Paths, quiet
from tests.training.test_loop import _last, _new
from tests.weights.test_official_checkpoints import official


@dataclass(frozen=True)
class Target:
    """`make` writes valid files into an empty directory and returns those to damage; `read` reads them again.

    HARNESS_HOME is `home` in that directory for both.
    """

    make: Callable[[Path], Paths]
    read: Callable[[Path], object]


def _weights(save: Callable[[dict[str, torch.Tensor], Path], object], name: str) -> Target:
    def make(root: Path) -> Paths:
        save(official(), root / name)
        return [root / name]

    return Target(make, lambda root: convert([root / name], "deepmil", None, {}, None, quiet))


def _legacy(state: dict[str, torch.Tensor], path: Path) -> None:
    torch.save({"model": state, "epoch": 3}, path, _use_new_zipfile_serialization=False)


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

    return Target(make, lambda root: score_file(ScoringRequest(root / name)))


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
    return parity.check_case(parity.read_case(root / "case"))


def _tower(root: Path) -> Paths:
    from harness.text.embedded import byte_tokenizer

    load_text_tower(None).model.save_pretrained(root / "tower")
    byte_tokenizer().save_pretrained(root / "tower")
    return sorted(path for path in (root / "tower").iterdir() if path.is_file())


def _encoded(root: Path) -> object:
    return load_text_tower(str(root / "tower")).encode(["a normal street"])


TARGETS: dict[str, Target] = {
    "official-zip": _weights(torch.save, "official.pth"),
    "official-legacy": _weights(_legacy, "official.pkl"),
    "official-safetensors": _weights(lambda state, path: save_file(state, path), "official.safetensors"),
    "checkpoint": Target(stored.checkpoint, stored.evaluated),
    "resume": Target(_resume, _resumed),
    "scores-csv": _table("scores.csv"),
    "scores-gz": _table("scores.csv.gz"),
    "scores-parquet": _table("scores.parquet"),
    "scores-txt": Target(_texts, lambda root: read_scores(root / "scores")),
    "import": Target(_tree, _import),
    "card": Target(_card, lambda root: read_card(root / "small-ucf.yaml")),
    "bank": Target(stored.bank_files, stored.opened),
    "hugging-face": Target(stored.exported, stored.reimported),
    "run": Target(stored.record, stored.recorded),
    "predictions": Target(stored.predictions, stored.scored),
    "seal": Target(stored.seal_files, stored.sealed),
    "manifest": Target(stored.manifest, stored.listed),
    "matrix": Target(_matrix, _planned),
    "claim": Target(_claim, _claimed),
    "submission": Target(stored.submission, stored.judged),
    "benchmark": Target(_benchmark, _compared),
    "fidelity": Target(_fidelity, _faithful),
    "parity-case": Target(_case, _checked),
    "text-tower": Target(_tower, _encoded),
}
