"""Which code decides a result, as one hash.

What counts is every file that a run reaches through imports, wherever in a file they stand: from
`harness.runs.computation`, and from the modules of the method's class and of its base classes. Followed are the
packages of all distributions that register methods, ours and third parties' alike, and code that nobody installed, such
as a checkout or a folder on the path. Installed libraries are not: their versions are in a run's provenance. Of a file
its syntax counts, see `harness.identity.syntax`; so does the content of data files beside it that it names.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.identity.module_files import Module, ModuleFiles, names_of
from harness.identity.syntax import Import, Syntax, syntax_of
from harness.io.digests import digest
from harness.registry import registered_entries

if TYPE_CHECKING:
    from harness.plugin.method import Method

COMPUTATION = "harness.runs.computation"
TEXT = "harness.text.loading"
# Reached by what computes, but they only carry: a version, errors and their words, files, their places and hashes, the
# forms of records.
_CARRIERS = {
    *("harness", "harness.errors", "harness.names", "harness.paths", "harness.printable", "harness.version"),
    *("harness.io", "harness.metrics", "harness.plugin"),  # of the last two only what names those below
    *("harness.io.atomic", "harness.io.digests", "harness.io.hub", "harness.io.npz", "harness.io.seals"),
    *("harness.records.model", "harness.records.request", "harness.records.result", "harness.records.spec"),
    *("harness.records.extraction", "harness.records.protocol"),
    *("harness.text.tower_files", "harness.data.card_errors", "harness.data.spelling"),
}
# Who imports one of these may load a registered method by its name.
_LOADERS = {"harness.registry", "importlib.metadata"}


def code_hash(method: type[Method]) -> str:
    """Return the hash of all code that decides the result of a run of `method`.

    Raises:
        UserError: the source of the method is not found.
    """
    return _hash_of(method, COMPUTATION)


def method_hash(method: type[Method]) -> str:
    """Return the hash of what the method itself computes with: its own files, the contract, its text tower if any.

    Raises:
        UserError: the source of the method is not found.
    """
    return _hash_of(method)


def computing_files(method: type[Method]) -> dict[str, Path]:
    """Return the files that decide the result of a run of `method`, by the name of the module or of the data."""
    return _reached(method, COMPUTATION)


def method_files(method: type[Method]) -> dict[str, Path]:
    """Return the files that the method itself computes with, named like `computing_files`."""
    return _reached(method)


def read(path: Path) -> bytes:
    """Return the bytes of a file that counts."""
    return path.read_bytes()


def _hash(method: type[Method], *roots: str) -> str:
    parts: list[str] = []
    for name, path in sorted(_reached(method, *roots).items()):
        parts += [name, syntax_of(read(path)).digest if path.suffix == ".py" else digest(read(path))]
    return digest(*parts)


# A class keeps the code that it was loaded with.
_hash_of: Callable[..., str] = functools.cache(_hash)


def _reached(method: type[Method], *roots: str) -> dict[str, Path]:
    modules = ModuleFiles(_own_names(method))
    waiting = [*roots, *([TEXT] if method.card.needs_text else []), *(cls.__module__ for cls in method.__mro__)]
    seen = {"", *_CARRIERS}
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        module = None if name in seen else modules.find(name)
        seen.add(name)
        if module is None:
            continue
        waiting.append(name.rpartition(".")[0])
        if module.file is None:
            continue
        found[name] = module.file
        if module.file.suffix == ".py":
            syntax = syntax_of(read(module.file))
            waiting += _imported(module, syntax, modules)
            found |= modules.data_beside(module, syntax.strings)
    if method.__module__ not in found:
        found[method.__module__] = _source(method)
    return found


def _own_names(method: type[Method]) -> set[str]:
    """Top-level names of the packages that register methods, and of those that the classes of `method` are from."""
    from harness.plugin.method import Method

    registered = registered_entries()
    names = {entry.module.partition(".")[0] for entry in registered}
    for distribution in {entry.dist for entry in registered if entry.dist is not None}:
        names |= names_of(distribution)
    return names | {cls.__module__.partition(".")[0] for cls in method.__mro__ if issubclass(cls, Method)}


def _source(method: type[Method]) -> Path:
    """The file of a class whose module cannot be found by its name, as that of a script."""
    with contextlib.suppress(OSError, TypeError):
        path = Path(inspect.getfile(method))
        if path.is_file():
            return path
    raise UserError(
        f"method {method.card.name}: the source of its module {method.__module__} is not found, so its runs could not "
        "be told from those of other code; install it as files"
    )


def _imported(module: Module, syntax: Syntax, modules: ModuleFiles) -> Iterator[str]:
    """Full names that a file imports; some are names inside a module rather than modules."""
    bases = [(_base(module, each), each.names) for each in syntax.imports]
    for base, names in bases:
        yield base
        yield from (f"{base}.{name}" for name in names)
        package = modules.find(base) if "*" in names else None
        if package is not None:
            yield from (inner.name for inner in modules.below(package))
    if syntax.searches:
        top = modules.find(module.name.partition(".")[0])
        yield from _all_below([top] if top else [], modules)
    if _LOADERS.intersection(name for base, names in bases for name in (base, *(f"{base}.{n}" for n in names))):
        yield from (entry.module for entry in registered_entries() if entry.name in syntax.strings)


def _base(module: Module, each: Import) -> str:
    if not each.level:
        return each.module
    package = module.package.split(".")
    return ".".join([*package[: len(package) + 1 - each.level], *([each.module] if each.module else [])])


def _all_below(packages: Iterable[Module], modules: ModuleFiles) -> Iterator[str]:
    for package in packages:
        inner = list(modules.below(package))
        yield from (module.name for module in inner)
        yield from _all_below(inner, modules)
