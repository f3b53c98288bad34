"""Hashes made to fit damaged files again: as somebody does who damages with care, and so that readers get to see it."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.data.manifest import MANIFEST, write_manifest
from harness.errors import HarnessError
from harness.io.atomic import read_json
from harness.io.digests import file_digest, intact, signed


@contextlib.contextmanager
def _as_it_is() -> Iterator[None]:
    """What cannot be signed stays as it is."""
    odd = (ValueError, TypeError, AttributeError, KeyError, RecursionError, OSError, struct.error)
    with contextlib.suppress(HarnessError, *odd):
        yield


def sign(path: Path) -> None:
    """Let a JSON document that lists the hashes of files beside it fit them and itself."""
    with _as_it_is():
        document: dict[str, Any] = read_json(path)
        there = {name: file_digest(path.parent / name) for name in document["files"] if (path.parent / name).is_file()}
        path.write_text(json.dumps(signed({**document, "files": {**document["files"], **there}})))


def sign_manifest(directory: Path) -> None:
    """Let the manifest of a directory fit its files, unless it is the manifest that was damaged."""
    with _as_it_is():
        if intact(read_json(directory / MANIFEST)):
            write_manifest(directory)


def unsign_checkpoint(path: Path) -> None:
    """Take the hash out of a checkpoint's header, as in those of earlier versions."""
    with _as_it_is():
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        inner = json.loads(header["__metadata__"]["harness"])
        del inner["digest"]
        header["__metadata__"]["harness"] = json.dumps(inner)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
