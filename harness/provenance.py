"""Where a result comes from: code, versions, hardware."""

from __future__ import annotations

import ast
import functools
import inspect
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from harness import __version__
from harness.files import digest
from harness.method import Method

# A change in one of these can change a number, so their text is part of a run's identity.
_SOURCES = (
    "arithmetic",
    "averaging",
    "method",
    "text",
    "train",
    "predict",
    "selection",
    "seeds",
    "alignment",
    "data.fitting",
    "data.sampling",
    "metrics.frame",
    "metrics.segments",
    "metrics.protocol",
)
_PACKAGES = ("torch", "numpy", "scikit-learn", "pandas", "mlflow", "datasets", "transformers", "safetensors")


def code_hash(method: type[Method]) -> str:
    """Hash of the sources that decide a result: the harness's own and the method's file with what it imports."""
    return _hash_with(inspect.getsourcefile(method), method.__module__, tuple(_SOURCES))


@functools.cache
def _hash_with(file: str | None, module: str, ours: tuple[str, ...]) -> str:
    root = Path(__file__).resolve().parent
    files = [root / (name.replace(".", "/") + ".py") for name in ours]
    files += _own_sources(file, module)
    return digest(*(path.name + "\n" + path.read_text(encoding="utf-8") for path in files))


def method_hash(method: type[Method]) -> str:
    """Hash of what a method itself computes with: its file, what it imports of its own package, the text tower."""
    return _hash_with(inspect.getsourcefile(method), method.__module__, ("text",))


def _own_sources(file: str | None, module: str) -> list[Path]:
    """The method's file and, recursively, the files of its own package that it imports."""
    package = module.split(".")[0] + "."
    waiting, found = [Path(file)] if file else [], dict[Path, None]()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                spec = find_spec(name) if name.startswith(package) else None
                if spec is not None and spec.origin:
                    waiting.append(Path(spec.origin))
    return sorted(found)


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
