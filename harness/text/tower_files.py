"""The files of a text tower: what names it, and whether those of a hub's cache are what was downloaded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Damaged
from harness.io import seals
from harness.io.digests import digest, file_digest

if TYPE_CHECKING:
    from torch import nn

# Settings and tokenizer.
_TEXT = (
    *("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)


def tower_hash(model: nn.Module, directory: Path) -> str:
    """Hash of a tower that was loaded from a directory: its weights, how it computes and how it reads a prompt."""
    return digest(weights_hash(model), *(part for path in _there(directory) for part in (path.name, file_digest(path))))


def weights_hash(model: nn.Module) -> str:
    """Hash of the names, shapes and values of all weights."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name}{tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def check_cached(source: str, hub_id: str, revision: str) -> None:
    """Raise Damaged unless the files in the hub's cache are what their names say, which are their hashes.

    A cache that keeps plain files rather than links to hashed ones says nothing, and is taken as it is.
    """
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json", revision=revision)
    if not isinstance(config, str):
        return
    directory = Path(config).parent
    for path in (*_there(directory), *sorted(directory.glob("*.safetensors"))):
        name = Path(os.path.realpath(path)).name
        if path.is_symlink() and not _is(path, name):
            again = f"remove {directory.parent.parent}, and it is downloaded again"
            raise Damaged(f"text tower {source}: {path} is not what was downloaded; {again}")


def _there(directory: Path) -> Iterator[Path]:
    yield from (directory / name for name in _TEXT if (directory / name).is_file())


def _is(path: Path, name: str) -> bool:
    if re.fullmatch(r"[0-9a-f]{64}", name):  # large files go by their SHA-256
        return seals.holds(path, name)
    if re.fullmatch(r"[0-9a-f]{40}", name):  # small ones by the hash that git gives them
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == name
    return True
