"""The files of a text tower, and what names it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.io.digests import digest, file_digest

if TYPE_CHECKING:
    from torch import nn

# Settings and tokenizer: with the weights, all that a result depends on.
CHECKED = (
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


def _there(directory: Path) -> Iterator[Path]:
    yield from (directory / name for name in CHECKED if (directory / name).is_file())
