"""Files of weights, read without executing anything that is in them."""

from __future__ import annotations

import contextlib
import errno
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from harness.errors import UserError, one_line

# Where training programs put the state dict beside epochs, scores and optimizers.
WRAPPERS = ("model_state_dict", "state_dict", "model", "net")
_EXPECTED = f"expected tensors by name, bare or under {', '.join(WRAPPERS)}"
_DAMAGED = "truncated or damaged; copy or download it again"
_ZIP = b"PK\x03\x04"
_SAFE = "load it where you trust it and save its tensors alone, torch.save(model.state_dict(), FILE)"


class _Ignored:
    """Stands for a NumPy scalar, such as the best score that VadCLIP's training files hold; nobody needs its value."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_STAND_INS: Any = [
    (_Ignored, f"numpy.{name}") for name in ("dtype", "_core.multiarray.scalar", "core.multiarray.scalar")
]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a PyTorch or safetensors file, on the CPU.

    A dict around the state dict (`WRAPPERS`) is opened. Names are those of the file, see `unwrapped`.

    Raises:
        UserError: the file is missing, empty, truncated, damaged or no checkpoint, or loading it would execute code.
    """
    with _readable(path):
        if is_safetensors(path):
            with _opened(path) as stored:
                names = stored.keys()
                state = {name: stored.get_tensor(name) for name in names}
        else:
            state = _torch(path)
    if not state:
        raise UserError(f"{path}: holds no tensors")
    return state


def unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict without what wrappers around a module or its parts added to its names.

    "_orig_mod." of `torch.compile` is taken off wherever it stands, "module." of (Distributed)DataParallel at the
    head of all names, both in any order and depth. Names stay as they are where two would become one.
    """
    names = {key: ".".join(part for part in key.split(".") if part != "_orig_mod") for key in state}
    while names and all(name.startswith("module.") for name in names.values()):
        names = {key: name.removeprefix("module.") for key, name in names.items()}
    if len(set(names.values())) < len(names):
        return dict(state)
    return {names[key]: value for key, value in state.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, none for another file; raises UserError as `read_weights`."""
    with _readable(path):
        if not is_safetensors(path):
            return {}
        with _opened(path) as stored:
            return stored.metadata() or {}


def is_safetensors(path: Path) -> bool:
    """Whether a file is to be read as safetensors, which its name says."""
    return path.suffix == ".safetensors"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        if not path.is_file():
            raise UserError(f"{path}: no such file" if not path.exists() else f"{path}: not a file of weights")
        if not path.stat().st_size:
            raise UserError(f"{path}: the file is empty, {_DAMAGED}")
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file, {_DAMAGED} ({one_line(error)})") from error


def _torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_STAND_INS):
            warnings.simplefilter("ignore")
            content = torch.load(path, weights_only=True, map_location="cpu")
    # torch fails in many ways on foreign bytes; what remains to be told apart is code, what is cut off, and rubbish.
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a place beyond the end of the file
            raise
        if _breaks_off(path):
            raise UserError(f"{path}: {_DAMAGED}") from error
        wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
        if wanted or "TorchScript" in str(error) or (isinstance(error, UnpicklingError) and _is_pickle(path)):
            what = f" ({wanted[1]})" if wanted else ""
            raise UserError(f"{path}: refused, because loading it would execute code{what}; {_SAFE}") from error
        if _is_pickle(path) and not _is_zip(path):
            raise UserError(f"{path}: {_DAMAGED}") from error
        raise UserError(f"{path}: neither a file of PyTorch nor .safetensors, or {_DAMAGED}") from error
    return _state(path, content)


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(1) == b"\x80" or _is_zip(path)


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one in several parts, or one that says so
        return False


def _breaks_off(path: Path) -> bool:
    """Whether a file begins as torch writes one, a zip archive or pickles in a row, and ends before it should."""
    with path.open("rb") as stream:
        if _ZIP.startswith(head := stream.read(len(_ZIP))):
            return not _is_zip(path)
        stream.seek(0)
        # Magic number, version, machine, content; then come bytes that tell nothing.
        for _ in range(4 if head[:1] == b"\x80" else 0):
            try:
                for _ in pickletools.genops(stream):
                    pass
            except (ValueError, OverflowError):
                return not stream.read(1)
            except MemoryError:  # asked for more bytes than any such file has
                return True
            if not stream.peek(1):
                return False
    return False


def _state(path: Path, content: object) -> dict[str, Tensor]:
    for _ in WRAPPERS:  # one may stand in another
        inside = [content[name] for name in WRAPPERS if isinstance(content, Mapping) and name in content]
        if inside and isinstance(inside[0], Mapping):
            content = inside[0]
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds a {type(content).__name__}; {_EXPECTED}")
    others = [f"{shown(key)} ({type(value).__name__})" for key, value in content.items() if not _is_weight(key, value)]
    if others:
        raise UserError(f"{path}: holds {', '.join(others[:8])}{', ...' if others[8:] else ''}; {_EXPECTED}")
    return {key: value.detach() for key, value in content.items()}


def _is_weight(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor)


def shown(key: object) -> str:
    """Return a key as a message may show it, on one line."""
    return key if isinstance(key, str) and key.isprintable() else repr(key)
