"""Features that were hashed once are known again, and only they."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from harness import paths
from harness.data.bank import Bank
from harness.errors import UserError
from harness.io import seals
from harness.io.atomic import read_json, write_json
from harness.io.digests import file_digest
from harness.paths import seal_dirs
from tests.data.trees import ucf_tree


class Disk:
    """A large file, how often it was hashed, and a process that begins anew."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path, self.hashed = path, 0
        path.write_bytes(bytes(range(256)) * 16)
        self.sha256 = file_digest(path)
        patch.setattr(seals, "file_digest", self._digest)
        patch.setattr(seals, "_known", {})
        patch.setattr(seals, "SMALL", 0)

    def _digest(self, path: Path) -> str:
        self.hashed += 1
        return file_digest(path)

    def holds(self, full: bool = False) -> tuple[bool, int]:
        """What a new process is told, and how often it had to hash."""
        before = self.hashed
        seals._known.clear()
        return seals.holds(self.path, self.sha256, full), self.hashed - before

    def settle(self) -> None:
        time.sleep(seals.SETTLED / 1e9 + 0.02)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "train.npy", monkeypatch)


def test_what_did_not_change_is_hashed_once(disk: Disk) -> None:
    disk.settle()
    assert [disk.holds() for _ in range(3)] == [(True, 1), (True, 0), (True, 0)]
    assert disk.holds(full=True) == (True, 1)


def test_what_has_just_changed_is_not_sealed(disk: Disk) -> None:
    """A second change within one tick of the clock would look like none."""
    assert disk.holds() == (True, 1)
    disk.settle()
    assert [disk.holds(), disk.holds()] == [(True, 1), (True, 0)]


def test_a_change_under_the_old_time_is_seen(disk: Disk) -> None:
    disk.settle()
    disk.holds()
    before = disk.path.stat()
    content = bytearray(disk.path.read_bytes())
    content[100] ^= 1
    with disk.path.open("r+b") as stream:
        stream.write(content)
    os.utime(disk.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert disk.path.stat().st_mtime_ns == before.st_mtime_ns
    assert disk.holds() == (False, 1)
    content[100] ^= 1
    disk.path.write_bytes(content)
    assert disk.holds() == (True, 1)


def test_another_file_in_its_place_is_seen(disk: Disk) -> None:
    disk.settle()
    disk.holds()
    other = disk.path.with_name("other")
    shutil.copy2(disk.path, other)
    os.replace(other, disk.path)
    assert disk.holds() == (True, 1)


def test_a_copy_costs_one_hash(disk: Disk, tmp_path: Path) -> None:
    disk.settle()
    disk.holds()
    (tmp_path / "copied").mkdir()
    disk.path = Path(shutil.copy2(disk.path, tmp_path / "copied"))
    disk.settle()
    assert [disk.holds(), disk.holds()] == [(True, 1), (True, 0)]


def test_a_seal_ages(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.settle()
    disk.holds()
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + seals.AGE + 10**9)
    assert disk.holds() == (True, 1)
    monkeypatch.setattr(time, "time_ns", lambda: now - 10**9)  # the clock was put back
    assert disk.holds() == (True, 1)


def test_no_flipped_bit_of_a_seal_is_believed(disk: Disk) -> None:
    disk.settle()
    disk.holds()
    (seal,) = seal_dirs()[0].iterdir()
    whole = seal.read_bytes()
    before = disk.path.read_bytes()
    disk.path.write_bytes(b"x" * len(before))
    for place in range(len(whole)):
        for bit in range(8):
            seal.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            assert disk.holds()[0] is False
    disk.path.write_bytes(before)
    for content in (b"", b"[]", b"{}", whole[:50], b"\xff"):
        seal.write_bytes(content)
        assert disk.holds()[0] is True


@pytest.mark.parametrize("writable", [True, False])
def test_a_home_that_cannot_be_written(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    """Seals then lie where caches do; where nothing can be written, each process hashes once."""
    home, cache = tmp_path / "file", tmp_path / "cache"
    home.write_text("no directory")
    if not writable:
        cache.write_text("no directory")
    monkeypatch.setattr(seals, "seal_dirs", lambda: (home / "seals", cache / "seals"))
    disk.settle()
    assert disk.holds() == (True, 1)
    assert disk.holds() == (True, 0 if writable else 1)
    assert seals.holds(disk.path, disk.sha256), "known within a process"
    assert disk.hashed == (1 if writable else 2)


def test_a_small_file_is_hashed_each_time(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "SMALL", 1 << 20)
    disk.settle()
    assert [disk.holds(), disk.holds()] == [(True, 1), (True, 1)]
    assert not seal_dirs()[0].exists()


def test_an_import_seals_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "SMALL", 0)
    bank = ucf_tree(tmp_path / "ucf").load().bank
    monkeypatch.setattr(seals, "_known", {})
    monkeypatch.setattr(seals, "file_digest", lambda path: pytest.fail(f"{path} is hashed again"))
    Bank(bank.path).split("train")
    with pytest.raises(pytest.fail.Exception):
        bank.check(full=True)


def test_a_bank_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    bank = ucf_tree(tmp_path / "ucf").load().bank
    info = read_json(bank.path / "bank.json")
    files = {name: value for name, value in info["files"].items() if name not in ("card.yaml", "import.txt")}
    earlier = {**{name: value for name, value in info.items() if name != "digest"}, "format": 1, "files": files}
    write_json(bank.path / "bank.json", earlier)
    again = Bank(bank.path)
    assert again.content_hash == bank.content_hash
    assert again.split("test").items == bank.split("test").items
    write_json(bank.path / "bank.json", {**earlier, "format": 2})
    with pytest.raises(UserError, match=r"bank.json: damaged .*; import the data set again"):
        Bank(bank.path)


def test_seals_lie_with_the_banks_or_where_caches_do(tmp_path: Path) -> None:
    home, cache = paths.seal_dirs()
    assert home == paths.harness_home() / "seals"
    assert cache.name == "seals"
