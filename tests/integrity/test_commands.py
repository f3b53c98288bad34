"""Every command that would use a damaged file says which, in one line, and how it is had again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from harness.data.bank import Bank, bank_path
from harness.io import seals
from harness.io.atomic import read_json, write_json
from tests.data.trees import ucf_tree

Harness = Callable[..., tuple[int, str, str]]


def damage(path: Path, seed: int = 0, after: float = 0.25) -> None:
    """Turn one bit in the middle half of a file, or behind another share of it."""
    content, rng = bytearray(path.read_bytes()), Random(f"{path.name} {seed}")
    start, size = int(after * len(content)), len(content)
    content[rng.randrange(start, max(3 * size // 4, (start + size) // 2))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


@dataclass
class Small:
    """A small imported set with one finished run on it."""

    harness: Harness
    root: Path
    card: str
    run: Path

    @property
    def bank(self) -> Path:
        return bank_path("small-ucf", "clip")

    @property
    def out(self) -> Path:
        return self.run.parent

    def again(self, *arguments: str) -> tuple[int, str, str]:
        return self.harness("run", *RUN, "--out", str(self.out), *arguments)

    def refused(self, path: Path, remedy: str, *arguments: str) -> None:
        """The command ends with exit code 2 and one line that names the file and what to do."""
        code, out, err = self.harness(*arguments)
        errors = [line for line in err.splitlines() if line.startswith(("error:", "failed:"))]
        assert code in (1, 2), (out, err)
        assert code == 2 or errors[0].startswith("failed:")
        assert len(errors) == 1, err
        assert path.name in errors[0]
        assert remedy in errors[0]
        assert "Traceback" not in err


RUN = ("--methods", "linear-probe", "--dataset", "small-ucf")


@pytest.fixture
def small(harness: Harness, tmp_path: Path) -> Small:
    tree = ucf_tree(tmp_path / "ucf")
    card = tree.write_card()
    assert harness("data", "import", card, "--root", str(tree.root))[0] == 0
    code, out, err = harness("run", *RUN, "--out", str(tmp_path / "runs"), "--json")
    assert code == 0, err
    return Small(harness, tree.root, card, Path(json.loads(out)["runs"][0]["directory"]))


def test_features_that_changed_are_refused_where_they_gave_another_number(
    demo_home: Path, tmp_path: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = tmp_path / "own", str(tmp_path / "runs")
    shutil.copytree(demo_home, home)
    monkeypatch.setenv("HARNESS_HOME", str(home))
    arguments = ("run", "--methods", "linear-probe", "--out", out)
    files = [home / f"banks/demo/synthetic/{split}.npy" for split in ("test", "train")]
    whole = [file.read_bytes() for file in files]
    for file, content in zip(files, whole, strict=True):
        middle = len(content) // 2
        file.write_bytes(content[:middle] + b"\xff\x7b\xff\x7b" + content[middle + 4 :])
        code, stdout, stderr = harness(*arguments)
        assert (code, stdout, stderr.count("\n")) == (2, "", 1)
        assert f"{file}: content changed since it was imported; remove the directory {file.parent}" in stderr
        file.write_bytes(content)
    code, stdout, stderr = harness(*arguments, "--json")
    assert code == 0, stderr
    assert 100 * json.loads(stdout)["runs"][0]["metrics"]["frame_auc"] == pytest.approx(93.53, abs=0.1)


@pytest.mark.parametrize(
    "name", ["train.npy", "test.npy", "train.json", "test.json", "truth.json", "bank.json", "card.yaml"]
)
def test_a_bank(small: Small, name: str, tmp_path: Path) -> None:
    whole = (small.bank / name).read_bytes()
    for seed in range(3):
        damage(small.bank / name, seed)
        small.refused(small.bank / name, "import the data set again", "run", *RUN, "--rerun", "--out", str(small.out))
        small.refused(small.bank / name, "import the data set again", "run", *RUN, "--out", str(tmp_path / "new"))
        to = str(tmp_path / "exported")
        small.refused(small.bank / name, "import the data set again", "data", "export", "small-ucf", "--to", to)
        target = ("--out", str(tmp_path / "s.zip"))
        small.refused(small.bank / name, "import the data set again", "submit", str(small.run), *target)
        (small.bank / name).write_bytes(whole)
    assert small.again()[0] == 0
    damage(small.bank / name)
    assert small.harness("data", "import", small.card, "--root", str(small.root), "--replace")[0] == 0
    assert (small.bank / name).read_bytes() == whole
    assert small.again()[0] == 0


def test_what_a_seal_cannot_see_is_found_by_verify(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that returns other bytes, under the same times."""
    monkeypatch.setattr(seals, "SMALL", 0)
    file = small.bank / "train.npy"
    damage(file)
    seals.seal(file, Bank(small.bank).info["files"]["train.npy"])
    assert small.again()[0] == 0
    small.refused(file, "import the data set again", "run", *RUN, "--verify", "--out", str(small.out))
    small.refused(file, "import the data set again", "submit", str(small.run), "--to", str(small.out / "s.zip"))


def test_the_record_of_a_run(small: Small) -> None:
    path = small.run / "run.json"
    whole = path.read_bytes()
    contents = (b"{}", b"[]", b"null", b"", whole[:100], whole.replace(b'"ok"', b'"no"'), whole.replace(b"0", b"1", 1))
    for content in contents:
        path.write_bytes(content)
        small.refused(path, "--rerun", "run", *RUN, "--out", str(small.out))
        small.refused(path, "--rerun", "compare", str(small.run), str(small.run), "--out", str(small.out))
        small.refused(path, "--rerun", "submit", str(small.run), "--to", str(small.out / "s.zip"))
        small.refused(path, "--rerun", "eval", str(small.run), "--dataset", "small-ucf", "--out", str(small.out))
    code, out, err = small.again("--rerun", "--json")
    assert code == 0, err
    assert json.loads(out)["runs"][0]["status"] == "ok"
    assert small.again()[0] == 0


@pytest.mark.parametrize("name", ["predictions.npz", "truth.json", "history.json", "checkpoint.safetensors", "log.txt"])
def test_the_files_of_a_run(small: Small, name: str, tmp_path: Path) -> None:
    whole = (small.run / name).read_bytes()
    for seed in range(3):
        damage(small.run / name, seed)
        small.refused(small.run / name, "--rerun", "run", *RUN, "--verify", "--out", str(small.out))
        small.refused(small.run / name, "--rerun", "submit", str(small.run), "--to", str(small.out / "s.zip"))
        if name in ("predictions.npz", "truth.json"):
            other = shutil.copytree(small.run, tmp_path / f"other-{seed}")
            small.refused(small.run / name, "--rerun", "compare", str(small.run), str(other))
        if name == "checkpoint.safetensors":
            small.refused(small.run / name, "--rerun", "eval", str(small.run), "--dataset", "small-ucf")
            alone = Path(shutil.copy(small.run / name, tmp_path / "alone.safetensors"))
            alone.write_bytes(whole)
            damage(alone, seed, after=0.8)  # among the weights; what may turn in a header is for another test
            small.refused(alone, "again", "eval", str(alone), "--dataset", "small-ucf")
        (small.run / name).write_bytes(whole)
    assert small.again("--verify")[0] == 0


def test_a_prediction_file(small: Small, tmp_path: Path) -> None:
    path = Path(shutil.copy(small.run / "predictions.npz", tmp_path / "scores.npz"))
    arguments = ("score", str(path), "--dataset", "small-ucf", "--json")
    whole, refused = small.harness(*arguments), 0
    assert whole[0] == 0
    for seed in range(40):
        damage(path, seed)
        if small.harness(*arguments) != whole:  # a time of an entry changes nothing
            small.refused(path, "again", *arguments)
            refused += 1
        shutil.copy(small.run / "predictions.npz", path)
    assert refused > 20


@pytest.mark.parametrize("name", ["predictions.npz", "truth.json", "history.json"])
def test_a_recorded_file_that_the_report_reads(small: Small, name: str) -> None:
    (recorded,) = (small.out / "mlartifacts").rglob(name)
    whole = recorded.read_bytes()
    damage(recorded)
    small.refused(recorded, "--rerun", "report", "--out", str(small.out))
    recorded.write_bytes(whole)
    assert small.harness("report", "--out", str(small.out))[0] == 0


def test_an_export(small: Small, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    assert small.harness("data", "export", "small-ucf", "--to", str(exported))[0] == 0
    arguments = ("data", "import", "small-ucf", "--root", str(exported))
    for path in sorted(path for path in exported.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        damage(path)
        small.refused(path, "data export", *arguments)
        path.write_bytes(whole)
    before = Bank(small.bank).content_hash
    assert small.harness(*arguments)[0] == 0
    # Earlier versions wrote hashes of the Arrow files alone, and before that none.
    files = read_json(exported / "hashes.json")["files"]
    write_json(exported / "hashes.json", {name: value for name, value in files.items() if name.endswith(".arrow")})
    for _ in range(2):
        code, _, err = small.harness(*arguments)
        assert (code, err.count("exported by an earlier version")) == (0, 1)
        (exported / "hashes.json").unlink(missing_ok=True)
    assert Bank(small.bank).content_hash == before
