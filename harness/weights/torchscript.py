"""The tensors of a TorchScript archive, such as OpenAI's CLIP files, read without running the code that is in it.

`torch.jit.load` would compile the archive's code. Here its pickle is read by an unpickler that knows tensors, plain
containers and empty stand-ins for the archive's own classes, and refuses everything else.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import UserError, one_line

# Types of numbers by the storages' names.
_TYPES = {
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Float": torch.float32,
    "Double": torch.float64,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Short": torch.int16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Bool": torch.bool,
}


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
            content = _Unpickler(io.BytesIO(_plain(archive, f"{head}data.pkl")), archive, head).load()
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
            dtype = _TYPES[str(kind).removesuffix("Storage")]
            data = bytearray(_plain(self._archive, f"{self._head}data/{key}"))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _plain(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return an entry, which torch never compresses: a small file cannot unpack to more than it is."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise UserError(f"{name} is compressed, which no archive of torch is")
    return archive.read(name)


def _rebuilt(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    if math.prod(size) > storage.numel():
        raise UserError(f"a tensor of {tuple(size)} in a storage of {storage.numel():,} numbers")
    return torch.as_strided(storage, size, stride, offset).clone()


def _same(value: Any, *_: Any) -> Any:
    return value


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, _Module):
        for key, part in value.parts.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), part)
