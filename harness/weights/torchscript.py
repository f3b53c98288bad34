"""The tensors of a TorchScript archive, such as OpenAI's CLIP files, read without running the code that is in it.

`torch.jit.load` would compile the archive's code. Here its pickle is read by an unpickler that knows tensors, plain
containers and empty stand-ins for the archive's own classes, and refuses everything else.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import UserError, one_line

_LARGEST = 1 << 36


class _Module:
    """Stands for an object of the archive's own classes: it keeps what it is made of."""

    def __init__(self, *_: object) -> None:
        self.parts: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.parts = state


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip that holds code beside its pickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
    return any(name.endswith("/constants.pkl") for name in names) and any(name.endswith("/data.pkl") for name in names)


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an archive by the names of its modules and attributes, as `state_dict` gives them.

    Raises:
        UserError: the archive is damaged, or its pickle asks for more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            head = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            with archive.open(f"{head}data.pkl") as stream:
                content = _Unpickler(stream, archive, head).load()
        return dict(_tensors("", content))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    # A foreign pickle may break anything on its way; all of it means the same to the user.
    except Exception as error:
        raise UserError(f"{path}: not a readable TorchScript archive ({one_line(error)}); copy it again") from error


class _Unpickler(pickle.Unpickler):
    """Knows tensors and containers alone."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, head: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._head = head
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what a global name stands for; raises UserError for whatever is no tensor and no container."""
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if module == "torch" and name.endswith("Storage"):
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return _same
        raise UserError(f"refused, because loading it would execute code ({module}.{name})")

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the flat bytes of a storage of the archive as a tensor of its type."""
        _, kind, key, *_ = pid
        if key not in self._storages:
            entry = self._archive.getinfo(f"{self._head}data/{key}")
            if entry.file_size > _LARGEST:
                raise UserError(f"tensor {key} has {entry.file_size:,} bytes")
            dtype = getattr(torch, str(kind).removesuffix("Storage").lower())
            data = bytearray(self._archive.read(entry))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _rebuilt(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return torch.as_strided(storage, size, stride, offset).clone()


def _same(value: Any, *_: Any) -> Any:
    return value


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, part in value.parts.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), part)
