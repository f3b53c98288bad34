"""Which files a directory was written with, and the hash of each: so that a copy of it can be checked anywhere."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Damaged
from harness.io.atomic import read_json, write_json
from harness.io.digests import DIGEST, file_digest, intact, signed

MANIFEST = "hashes.json"


def write_manifest(directory: Path) -> None:
    """Write down every file of a directory that is complete."""
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file() and path != directory / MANIFEST]
    files = {path.relative_to(directory).as_posix(): file_digest(path) for path in paths}
    write_json(directory / MANIFEST, signed({"files": files}))


def check_manifest(directory: Path, again: str) -> bool:
    """Return whether every file of a directory was checked; False for one of an earlier version, which lists no or few.

    What lies there beside the files that are listed is nobody's business.

    Raises:
        Damaged: a file is missing or is not what was written; the text ends with what is to be done (`again`).
        UserError: the manifest cannot be read.
    """
    path = directory / MANIFEST
    if not path.exists():
        return False
    document = read_json(path, again)
    if not isinstance(document, dict):
        raise Damaged(f"{path}: no list of files; {again}")
    complete = "files" in document or DIGEST in document
    listed = document.get("files") if complete else document
    if (complete and not intact(document)) or not isinstance(listed, dict):
        raise Damaged(f"{path}: damaged, its hash is not that of its content; {again}")
    for name, recorded in sorted(listed.items()):
        _check(directory / name, recorded, again)
    return complete


def _check(path: Path, recorded: object, again: str) -> None:
    try:
        found = file_digest(path)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise Damaged(f"{path}: cannot be read ({error}); {again}") from error
    if found != recorded:
        raise Damaged(f"{path}: content changed since it was written; {again}")
