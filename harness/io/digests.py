"""SHA-256 of contents: of parts, of files, and the one that a JSON document carries of all else that it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BUFFER = 1 << 20
# Where a document keeps its own hash.
DIGEST = "digest"


def digest(*parts: bytes | str) -> str:
    """Return the hex SHA-256 of length-prefixed parts."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes, in bounded memory; raises OSError if it cannot be read."""
    state, buffer = hashlib.sha256(), bytearray(_BUFFER)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(buffer):
            state.update(view[:size])
    return state.hexdigest()


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document together with the hash of what it says."""
    return {**content, DIGEST: _digest_of(content)}


def intact(document: Mapping[str, Any]) -> bool:
    """Whether a document says what it said when it was `signed`; not so for one that never was."""
    try:
        return bool(document.get(DIGEST) == _digest_of(document))
    except (ValueError, RecursionError):  # nested deeper than anything of ours
        return False


def _digest_of(document: Mapping[str, Any]) -> str:
    content = {key: value for key, value in document.items() if key != DIGEST}
    return digest(json.dumps(content, sort_keys=True))
