"""A package of `examples/`, built and installed as a user's pip would do it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def installed(example: Path, work: Path) -> Path:
    """Return the directory below `work` where the package lies; its dependencies are those of the tests."""
    # From a copy: building leaves folders beside the sources.
    shutil.copytree(example, work / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(work / "site"), str(work / "source")]
    subprocess.run(install, check=True, capture_output=True)
    return work / "site"
