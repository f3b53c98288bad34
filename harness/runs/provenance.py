"""Where a result comes from: commit, versions, hardware."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.version import __version__

_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "mlflow", "datasets", "transformers", "safetensors")


@functools.cache
def provenance() -> dict[str, str]:
    """Commit, dirty flag, package versions and hardware, as text."""
    import torch

    facts = {
        "harness": __version__,
        "git_commit": "",
        "git_dirty": "",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": str(torch.get_num_threads()),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }
    facts |= _git(Path(__file__).resolve().parent)
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "missing"
    return facts


def _git(directory: Path) -> dict[str, str]:
    """Commit of the checkout this code runs from (not of the caller's directory); empty for an installed wheel."""

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # A wheel installed inside somebody's repository must not report that repository's commit.
        ask("ls-files", "--error-unmatch", Path(__file__).name)
        return {"git_commit": ask("rev-parse", "HEAD"), "git_dirty": str(bool(ask("status", "--porcelain"))).lower()}
    except (OSError, subprocess.SubprocessError):
        return {}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
