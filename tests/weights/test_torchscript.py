"""TorchScript archives: their tensors are read, and nothing in them is executed or unpacked beyond its size."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.video.towers.loading import load_image_tower
from harness.weights.torchscript import is_torchscript, read_torchscript
from tests.weights.test_official_checkpoints import Touch


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(12.0).reshape(3, 4).t())
        self.register_buffer("short_floats", torch.randn(5).half())
        self.register_buffer("integers", torch.tensor([1, 2, 3]))
        self.register_buffer("small", torch.tensor([1, 255], dtype=torch.uint8))
        self.register_buffer("wide_floats", torch.randn(2, 2).bfloat16())
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.size = 7

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.Sequential(OrderedDict(deep=nn.LayerNorm(2))))
        self.long_floats = nn.Parameter(torch.randn(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.jit.script(Outer()).save(tmp_path / "a.pt")
    return tmp_path / "a.pt"


def rewritten(archive: Path, part: str, content: bytes, compress: bool = False) -> Path:
    """Replace one file of an archive."""
    with zipfile.ZipFile(archive) as given:
        entries = {name: given.read(name) for name in given.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as changed:
        for name, data in entries.items():
            changed.writestr(name, content if name.endswith(part) else data)
    return archive


def refused(path: Path) -> str:
    with pytest.raises(UserError) as found:
        read_torchscript(path)
    assert str(found.value).startswith(f"{path}: ")
    assert len(str(found.value).splitlines()) == 1
    return str(found.value)


def test_tensors_are_those_of_the_state_dict(archive: Path) -> None:
    wanted = torch.jit.load(archive).state_dict()
    found = read_torchscript(archive)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_other_files_are_none(archive: Path, tmp_path: Path) -> None:
    assert is_torchscript(archive)
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pt")
    (tmp_path / "text").write_text("text")
    assert not any(is_torchscript(tmp_path / name) for name in ("plain.pt", "text", "none"))


def _setattr(path: Path) -> bytes:
    """A pickle that would change a function of ours by its BUILD."""
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\x00\x00\x00__code__K\x01s\x86b."


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "system": lambda path: pickle.dumps(Touch(path), protocol=2),
    "inner": lambda path: pickle.dumps(OrderedDict(a=[{"b": Touch(path)}]), protocol=4),
    "eval": lambda path: f"cbuiltins\neval\n(S'open({str(path)!r}, \"w\")'\ntR.".encode(),
    "of torch": lambda path: f"ctorch\nload\n(S'{path}'\ntR.".encode(),
    "of jit": lambda path: f"ctorch.jit._pickle\nrestore_type_tag\n(S'{path}'\ntR.".encode(),
    "build": _setattr,
    "cycle": lambda path: b"c__torch__\nA\n)\x81q\x00}X\x01\x00\x00\x00xh\x00sb.",
    "nothing": lambda path: b"",
    "no end": lambda path: b"\x80\x02]",
}


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.replace(" ", "-"))
def test_nothing_is_executed(kind: str, archive: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    line = refused(rewritten(archive, "data.pkl", HOSTILE[kind](touched)))
    assert not touched.exists()
    if kind in ("system", "inner", "eval", "of torch", "of jit"):
        assert "would execute code" in line
    with pytest.raises(UserError):
        load_image_tower(str(archive))


def test_code_of_the_archive_is_not_looked_at(archive: Path) -> None:
    wanted = read_torchscript(archive)
    found = read_torchscript(rewritten(archive, ".py", b"import os; os.system('touch /tmp/never')"))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


class Tensors:
    """Pickles as a tensor of a shape that its storage does not fill."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.given


STORAGE = object()


class Pickler(pickle.Pickler):
    """Writes STORAGE as the archive's first storage."""

    def persistent_id(self, value: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 2) if value is STORAGE else None


def _asking(path: Path, *given: Any) -> bytes:
    with path.open("wb") as stream:
        Pickler(stream, 2).dump({"a": Tensors(STORAGE, *given)})
    return path.read_bytes()


@pytest.mark.parametrize(
    "given",
    [
        (0, (1 << 33,), (0,)),
        (0, (1 << 20, 1 << 20), (0, 0)),
        (1 << 40, (2,), (1,)),
        (0, (2,), (1 << 40,)),
        (-1, (1,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(given: Any, archive: Path, tmp_path: Path) -> None:
    content = _asking(tmp_path / "data", *given, False, OrderedDict())
    refused(rewritten(archive, "data.pkl", content))


def test_a_small_file_cannot_unpack_to_a_large_one(archive: Path) -> None:
    assert "is compressed" in refused(rewritten(archive, "data/0", bytes(1 << 20), compress=True))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_damaged_archive_is_one_line(share: float, archive: Path) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError) as found:
        load_image_tower(str(archive))
    assert len(str(found.value).splitlines()) == 1
    assert str(archive) in str(found.value)


def test_flipped_bytes_are_found_or_harmless(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    wanted = read_torchscript(archive)
    for place in range(0, len(content), max(len(content) // 200, 1)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        archive.write_bytes(changed)
        try:
            found = read_torchscript(archive)
        except UserError:
            continue
        assert all(torch.equal(found[name], value) for name, value in wanted.items() if name in found), place


def test_a_missing_tensor_is_said(archive: Path) -> None:
    with zipfile.ZipFile(archive) as given:
        entries = {name: given.read(name) for name in given.namelist() if not name.endswith("data/1")}
    os.unlink(archive)
    with zipfile.ZipFile(archive, "w") as changed:
        for name, data in entries.items():
            changed.writestr(name, data)
    assert "data/1" in refused(archive)
