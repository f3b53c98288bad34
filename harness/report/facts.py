"""What a report is made of, as the sizes and times of files say it: enough to know that nothing has changed."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

from harness.identity.module_files import ModuleFiles
from harness.io.digests import digest
from harness.paths import cards_dir, harness_home, report_assets_dir
from harness.registry import registered_entries
from harness.tracking.sqlite import ARTIFACTS, sqlite_file
from harness.tracking.tracker import TrackedRun, Tracker
from harness.tracking.unsent_runs import UNSENT, run_directories
from harness.version import __version__

# What else puts numbers and pages together.
_LIBRARIES = ("jinja2", "markupsafe", "numpy", "scipy")


@dataclass(frozen=True)
class Facts:
    """Of one store. `edition` is everything that all pages have in common: our code and that of all methods, templates,
    cards, records of parity and checks. `store` are the database, run directories and what waits to be sent.

    `files` are those of each directory of artifacts, by its path.
    """

    edition: str
    store: str
    files: Mapping[str, str]
    tracker: Tracker

    def fingerprint(self, asked: Sequence[str]) -> str:
        """Return a hash of it all, and of the words that say what a report is to be: its formats, the runs it shows."""
        return digest(self.edition, self.store, *self.files.values(), *asked)

    def of_run(self, run: TrackedRun) -> str:
        """Return what is known of one run's files without opening them; it changes when one of them does."""
        beside, uri = self._artifacts
        place = beside + unquote(run.artifacts.removeprefix(uri))
        if run.artifacts.startswith(uri) and place in self.files:
            return self.files[place]
        places = map(str, self.tracker.places(run.artifacts))
        return "\n".join(self.files[place] if place in self.files else _inside(place) for place in places)

    @cached_property
    def _artifacts(self) -> tuple[str, str]:
        """Where the store has its artifacts: as a path and as a URI."""
        beside = self.tracker.out / ARTIFACTS
        return str(beside), beside.as_uri()


def facts(tracker: Tracker, before: Facts | None = None) -> Facts | None:
    """Return the facts of a store in a file whose artifacts lie beside it; None for others, which say too little.

    `before` are those of a moment ago, of which only what the store has written since is looked at again.
    """
    store = sqlite_file(tracker.uri)
    if store is None or not (tracker.out / ARTIFACTS).is_dir():
        return None
    held = _store(tracker, store)
    if before is not None and before.store == held:
        return before
    files: dict[str, str] = {}
    _walk(str(tracker.out / ARTIFACTS), files)
    return Facts(before.edition if before else _edition(), held, files, tracker)


def file_fact(name: str, state: os.stat_result) -> str:
    """Return what changes when somebody writes the file of this name."""
    return f"{name} {state.st_ino} {state.st_size} {state.st_mtime_ns}"


def sources() -> Iterator[Path]:
    """Yield where the code and the texts of a report come from."""
    yield from (Path(__file__).parents[1], report_assets_dir(), cards_dir())
    entries = registered_entries()
    tops = {entry.module.partition(".")[0] for entry in entries}
    modules = ModuleFiles(tops)
    # A package of a checkout may lie outside the directory of the package above, as ours of the methods does.
    for name in sorted(tops | {entry.module.rpartition(".")[0] for entry in entries} - {""}):
        module = modules.find(name)
        if module is not None:
            yield from module.inside or (module.file or Path(),)


def _edition() -> str:
    files: dict[str, str] = {}
    for place in sources():
        _walk(str(place), files)
    _walk(str(harness_home()), files, but=("banks", "cache", "seals"))
    # Directories that hold no file may come and go.
    return digest(__version__, sys.version, *map(metadata.version, _LIBRARIES), *filter(None, files.values()))


def _store(tracker: Tracker, store: Path) -> str:
    found = [str(tracker.out), tracker.uri]
    files = [*store.absolute().parent.glob(f"{store.name}*"), *(tracker.out / UNSENT).glob("*.json")]
    files += [directory / "run.json" for directory in run_directories(tracker.out)]
    for path in files:
        with contextlib.suppress(OSError):
            found.append(file_fact(str(path), os.stat(path)))
    return digest(*found)


def _walk(place: str, found: dict[str, str], but: Sequence[str] = ()) -> None:
    """Note the files of each directory below a place, without caches and the directories `but` at its top."""
    try:
        with os.scandir(place) as entries:
            own, inside = _own(entries)
    except OSError:  # a single file, or gone
        with contextlib.suppress(OSError):
            found[place] = file_fact(place, os.stat(place))
        return
    found[place] = own
    for name in inside:
        if name not in (*but, "__pycache__"):
            _walk(os.path.join(place, name), found)


def _inside(place: str) -> str:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        return _own(entries)[0]
    return ""


def _own(entries: Iterator[os.DirEntry[str]]) -> tuple[str, list[str]]:
    """The facts of the files among the entries of a directory, and the names of the directories among them."""
    files, directories = list[str](), list[str]()
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.is_dir():
            directories.append(entry.name)
        else:
            with contextlib.suppress(OSError):
                files.append(file_fact(entry.path, entry.stat()))
    return "\n".join(files), directories
