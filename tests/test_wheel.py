"""The built wheel: what is in it, and that it works without a checkout around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("harness", "methods", "datasets", "reports", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a clean copy of the sources."""
    work = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, target = ROOT / name, work / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(work / "source")]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = work.glob("*.whl")
    return built


def test_it_holds_methods_cards_and_assets_inside_harness(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for expected in (
        "harness/cards/demo.yaml",
        "harness/assets/index.html.j2",
        "harness/assets/timeline.js",
        "harness/assets/published.csv",
        "harness/assets/vendor/uPlot.iife.min.js",
        "harness/methods/dsanet.py",
        "harness/methods/layers/clip.py",
        "harness/methods/parity/dsanet.py",
    ):
        assert expected in names


def test_pip_installs_one_package(wheel: Path, tmp_path: Path) -> None:
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check", "-q"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(tmp_path), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} <= {"harness", "harness_wsvad", "bin"}


def test_its_code_has_the_identity_of_the_checkouts(wheel: Path, tmp_path: Path) -> None:
    """Whatever folder a module lies in: a run made with a checkout is found finished by an installed wheel."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import json, sys\n"
        "from harness.identity.code import code_hash, method_files\n"
        "from harness.registry import method_class\n"
        "dsanet = method_class('dsanet')\n"
        "print(json.dumps([code_hash(dsanet), str(method_files(dsanet)['harness.methods.layers.clip'])]))\n"
    )
    found = []
    for place in (tmp_path / "site", ROOT):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(place)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        found.append(json.loads(done.stdout))
    (installed, file), (editable, other) = found
    assert installed == editable
    assert file == str(tmp_path / "site/harness/methods/layers/clip.py")
    assert other == str(ROOT / "methods/layers/clip.py")


def test_it_works_alone_and_datasets_stays_hugging_faces(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target), "HARNESS_HOME": str(tmp_path / "home")}
    code = (
        "import datasets, harness.methods, json\n"
        "from harness.paths import cards_dir, report_assets_dir\n"
        "from harness.registry import method_names\n"
        "assert hasattr(datasets, 'load_dataset'), datasets\n"
        "print(json.dumps([harness.__file__, harness.methods.__file__, str(cards_dir()), str(report_assets_dir()), "
        "list(method_names())]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    *places, methods = json.loads(done.stdout)
    assert all(place.startswith(str(target)) for place in places), places
    assert "dsanet" in methods
    done = subprocess.run(
        [sys.executable, "-m", "harness", "list", "datasets", "--json"],
        env=environment,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "demo" in {row["name"] for row in json.loads(done.stdout)["datasets"]}
