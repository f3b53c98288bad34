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


def test_it_holds_cards_and_assets_inside_harness_and_no_top_level_datasets(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for expected in (
        "harness/cards/demo.yaml",
        "harness/assets/index.html.j2",
        "harness/assets/timeline.js",
        "harness/assets/published.csv",
        "harness/assets/vendor/uPlot.iife.min.js",
        "methods/dsanet.py",
        "methods/parity/dsanet.py",
    ):
        assert expected in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"harness", "methods", "harness_wsvad"}


def test_it_works_alone_and_datasets_stays_hugging_faces(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    environment = {**os.environ, "PYTHONPATH": str(target), "HARNESS_HOME": str(tmp_path / "home")}
    code = (
        "import datasets, harness, methods, json\n"
        "from harness.paths import cards_dir, report_assets_dir\n"
        "from harness.registry import method_names\n"
        "assert hasattr(datasets, 'load_dataset'), datasets\n"
        "print(json.dumps([harness.__file__, methods.__file__, str(cards_dir()), str(report_assets_dir()), "
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
