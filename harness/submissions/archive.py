"""Zip files from strangers: entries are plain, stored, named once, and together no larger than the file itself."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from typing import BinaryIO

from harness.errors import UserError

# A directory of this many bytes names more runs than anyone submits; zipfile reads it whole before anything is checked.
_DIRECTORY = 8 << 20
_END = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR = 20
_PLAIN = re.compile(r"[^/\\\x00-\x1f\x7f:]+(/[^/\\\x00-\x1f\x7f:]+)*")


class StoredZip:
    """A zip file whose entries have been checked; reading one checks its size and checksum."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        """Read the directory of the zip file in `stream`; `where` names it in errors.

        Raises:
            UserError: it is no zip file, or an entry is compressed, encrypted, no plain file, oddly named, named twice,
                or larger than the file it is in.
        """
        self._where = where
        size = _checked_size(stream, where)
        try:
            self._zip = zipfile.ZipFile(stream)
        except Exception as error:  # zipfile raises half a dozen kinds for a damaged directory
            raise UserError(f"{where}: not a readable zip file ({_reason(error)})") from error
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            self._check(entry)
            self._entries[entry.filename] = entry
        # Entries that share bytes of the file are how a small stored file becomes a large one.
        if sum(entry.file_size for entry in self._entries.values()) > size:
            raise UserError(f"{where}: its entries overlap: together they are larger than the file")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries, in the order of the directory."""
        return tuple(self._entries)

    def read(self, name: str, limit: int) -> bytes:
        """Return the bytes of an entry.

        Raises:
            UserError: there is none of this name, it is larger than `limit`, or damaged.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise UserError(f"{self._where}: lacks {name}")
        if entry.file_size > limit:
            raise UserError(f"{self._where}: {name} has {entry.file_size:,} bytes, at most {limit:,} are read")
        try:
            return self._zip.read(entry)
        except Exception as error:  # as above; zlib and struct have their own
            raise UserError(f"{self._where}: {name} is damaged ({_reason(error)})") from error

    def _check(self, entry: zipfile.ZipInfo) -> None:
        name, kind = entry.filename, stat.S_IFMT(entry.external_attr >> 16)
        if name != entry.orig_filename or not _PLAIN.fullmatch(name) or {".", ".."} & set(name.split("/")):
            problem = "is no plain relative name"
        elif name in self._entries:
            problem = "is there twice"
        elif kind not in (0, stat.S_IFREG):
            problem = "is no regular file"
        elif entry.flag_bits & 1:
            problem = "is encrypted"
        elif entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            problem = "is compressed; entries are stored as they are"
        else:
            return
        raise UserError(f"{self._where}: entry {plain(name)!r} {problem}")


def stored(entries: Mapping[str, bytes], stream: BinaryIO) -> None:
    """Write a zip file that depends on nothing but names and contents."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, entries[name])


def _checked_size(stream: BinaryIO, where: str) -> int:
    """Size of a file that ends as a zip file without comment and without 64-bit extension, of a directory in bounds."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END.size - _ZIP64_LOCATOR))
    tail = stream.read(_END.size + _ZIP64_LOCATOR)
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise UserError(f"{where}: not a zip file, or cut off")
    directory = _END.unpack(tail[-_END.size :])[5]
    if tail.startswith(b"PK\x06\x07") or directory > _DIRECTORY:
        raise UserError(f"{where}: its directory is too large")
    stream.seek(0)
    return size


def plain(text: str) -> str:
    """Return a stranger's text for a message: one line, not long, and nothing that a terminal acts on."""
    return ascii(" ".join(text.split())[:200])[1:-1]


def _reason(error: Exception) -> str:
    return plain(str(error)) or type(error).__name__
