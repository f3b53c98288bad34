"""Where the modules of somebody's own packages lie, found without importing them.

A module is one of the own if its top-level name is asked for, or if nobody installed it: a checkout, also one that is
installed as editable, or a folder on the path. The standard library and what was installed from others are not.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path

# Directories into which whole environments are installed.
_ENVIRONMENT = ("site-packages", "dist-packages")
# Libraries whose own developers have them as checkouts: too large to be read, and not what a method is made of.
_LIBRARIES = {"numpy", "pandas", "scipy", "sklearn", "torch", "torchvision", "transformers", "triton"}
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_CODE = {".py", ".pyc", *(f".{suffix.rpartition('.')[2]}" for suffix in EXTENSION_SUFFIXES)}


@dataclass(frozen=True)
class Module:
    """A module by its full name. `file` is None for a namespace; `inside` are the directories of a package."""

    name: str
    file: Path | None
    inside: tuple[Path, ...] = ()

    @property
    def package(self) -> str:
        """The package that its relative imports start from, "" for none."""
        return self.name if self.inside else self.name.rpartition(".")[0]


class ModuleFiles:
    """Finds modules; `own` are top-level names that count whoever installed them."""

    def __init__(self, own: Iterable[str]) -> None:
        self._own = dict.fromkeys(own, True)
        self._found: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """Return a module by its full name, None if there is none or it is not one of the own."""
        if name not in self._found:
            parent, _, last = name.rpartition(".")
            if parent:
                above = self.find(parent)
                folders = above.inside if above else ()
                self._found[name] = _in_package(name, last, folders) or (_elsewhere(name, folders) if folders else None)
            else:
                self._found[name] = _top_level(name) if self._is_own(name) else None
        return self._found[name]

    def below(self, module: Module) -> Iterator[Module]:
        """Yield the modules directly inside a package."""
        names = {path.name.partition(".")[0] for folder in module.inside for path in folder.iterdir()}
        for name in sorted(names - {"__init__", "__pycache__"}):
            found = self.find(f"{module.name}.{name}")
            if found is not None:
                yield found

    def data_beside(self, module: Module, strings: Iterable[str]) -> dict[str, Path]:
        """Return the data files that a module may read, by name such as `package/words.json`.

        They are the files beside it, or at the root of its package, that one of its `strings` names, and all files in a
        folder there that one names.
        """
        assert module.file is not None
        places = [(module.package, module.file.parent)]
        root = self.find(module.package.partition(".")[0]) if "." in module.package else None
        places += [(root.name, folder) for folder in root.inside] if root else []
        found: dict[str, Path] = {}
        for package, folder in places:
            names = {path.name for path in folder.iterdir()}
            for path in (folder / string for string in strings if string.partition("/")[0] in names):
                # Beside a module without a package lies anything.
                files = path.rglob("*") if package and path.is_dir() else [path]
                data = [file for file in files if file.suffix not in _CODE and file.is_file()]
                found |= {f"{package}/{file.relative_to(folder).as_posix()}": file for file in data}
        return found

    def _is_own(self, top: str) -> bool:
        if top not in self._own:
            self._own[top] = top not in sys.stdlib_module_names | _LIBRARIES and not _installed(top)
        return self._own[top]


def names_of(distribution: Distribution) -> set[str]:
    """Return the top-level names of a distribution's modules."""
    listed = distribution.read_text("top_level.txt")
    if listed:
        return set(listed.split())
    return {file.parts[0].partition(".")[0] for file in distribution.files or () if file.suffix in _SUFFIXES}


def _installed(top: str) -> bool:
    module = _top_level(top)
    if module is None:
        return True
    root = (module.inside[0] if module.inside else module.file or Path()).parent
    # A checkout's metadata have no record of installed files.
    return root.name in _ENVIRONMENT or any(
        found.read_text("RECORD") is not None and top in names_of(found) for found in distributions(path=[str(root)])
    )


def _top_level(name: str) -> Module | None:
    try:
        spec = find_spec(name)  # of a name without dots, so that nothing is imported
    except (ImportError, ValueError):
        return None
    return _of_spec(name, spec) if spec else None


def _of_spec(name: str, spec: ModuleSpec) -> Module | None:
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    inside = tuple(map(Path, spec.submodule_search_locations or ()))
    return Module(name, file, inside) if inside or (file and file.is_file()) else None


def _in_package(name: str, last: str, folders: Iterable[Path]) -> Module | None:
    spaces = []
    for folder in folders:
        for suffix in _SUFFIXES:
            if (folder / last / f"__init__{suffix}").is_file():
                return Module(name, folder / last / f"__init__{suffix}", (folder / last,))
            if (folder / f"{last}{suffix}").is_file():
                return Module(name, folder / f"{last}{suffix}")
        if (folder / last).is_dir():
            spaces.append(folder / last)
    return Module(name, None, tuple(spaces)) if spaces else None


def _elsewhere(name: str, folders: Iterable[Path]) -> Module | None:
    """A package that its checkout has outside the directory of the package above, as an editable install allows."""
    for finder in sys.meta_path:
        with contextlib.suppress(ImportError, ValueError, AttributeError):  # the last: a finder of before Python 3.4
            spec = finder.find_spec(name, [str(folder) for folder in folders])
            if spec is not None:
                return _of_spec(name, spec)
    return None
