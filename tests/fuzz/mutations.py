"""Ways to damage a file: as bytes, as text, as JSON, as an archive of arrays, as code in disguise."""

from __future__ import annotations

import copy
import gzip
import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = (
    "-1",
    "0",
    "1e309",
    "NaN",
    "-Infinity",
    "99999999999999999999",
    "0.5",
    "true",
    "null",
    "2147483648",
    "1e-320",
)
TEXTS = ("", "\x00", "../../../etc/passwd", "/etc/passwd", "a\nb", "x" * 3000, "\u202eabc", "<script>alert(1)</script>")
TEXTS += ("日本語", "%s%n", "nan", "-1", "\ud800", ".", "a/b", "\x1b[2J", "=1+1", "[" * 3000)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**25, 0.5, 1e308, float("nan"), float("inf"), [], {}, [[]], {"": None})


class Payload:
    """What a pickle may carry: unpickled, it makes the directory `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 200, 5000)))


def flip(data: bytes, rng: Random) -> bytes:
    """Some bits turned."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def head(data: bytes, rng: Random) -> bytes:
    """A byte of the first hundred replaced: where formats keep their lengths and types."""
    changed = bytearray(data)
    if data:
        changed[rng.randrange(min(len(data), 100))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def cut(data: bytes, rng: Random) -> bytes:
    """The end, the beginning or a piece missing."""
    start, stop = _span(data, rng)
    return rng.choice((data[:start], data[start:], data[:start] + data[stop:]))


def repeat(data: bytes, rng: Random) -> bytes:
    """A piece twice, or at another place."""
    start, stop = _span(data, rng)
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[start:stop] + data[at:]


def noise(data: bytes, rng: Random) -> bytes:
    """Random bytes between the others."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 3, 40, 2000))) + data[at:]


def number(data: bytes, rng: Random) -> bytes:
    """A number of a text replaced by an odd one."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data))
    if not found:
        return flip(data, rng)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(NUMBERS).encode() + data[one.end() :]


def word(data: bytes, rng: Random) -> bytes:
    """A word of a text replaced by an odd one."""
    found = list(re.finditer(rb"[A-Za-z_][\w.@-]*", data))
    if not found:
        return noise(data, rng)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice(TEXTS).encode("utf-8", "surrogatepass") + data[one.end() :]


def line(data: bytes, rng: Random) -> bytes:
    """A line missing, twice, empty, elsewhere, or in another encoding."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 4:
        return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    lines[at : at + 1] = ([], [lines[at]] * 2, [b""], [lines[rng.randrange(len(lines))]])[kind]
    return b"\n".join(lines)


def deep(data: bytes, rng: Random) -> bytes:
    """Brackets within brackets within brackets."""
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
    depth = rng.choice((50, 2000, 100_000))
    return opening * depth + (data if rng.random() < 0.5 else b"1") + closing * depth


def alias(data: bytes, rng: Random) -> bytes:
    """YAML whose references unfold to billions of words."""
    levels = [b"a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    levels += [b"a%d: &a%d [%s]" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)]
    return (
        data
        + b"\n"
        + b"\n".join(levels)
        + b"\n"
        + rng.choice((b"", b"set: *a9\n", b"classes: *a9\n", b"methods: *a9\n"))
    )


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [inner for key, each in value.items() for inner in _nodes(each, (*path, key))]
    elif isinstance(value, list):
        found += [inner for key, each in enumerate(value[:50]) for inner in _nodes(each, (*path, key))]
    return found


def changed_json(data: bytes, rng: Random) -> bytes:
    """A value of a JSON document of another type or out of range, missing, or one too many."""
    try:
        value = json.loads(data)
    except ValueError:
        return number(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        path = rng.choice(_nodes(value))
        if not path:
            continue
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        kind = rng.randrange(4)
        if kind == 0:
            del parent[path[-1]]
        elif kind == 1 and isinstance(parent, dict):
            parent[rng.choice(TEXTS)] = copy.deepcopy(rng.choice(VALUES))
        else:
            parent[path[-1]] = copy.deepcopy(rng.choice((*VALUES, *TEXTS)))
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def npy(data: bytes, rng: Random, marker: Path | None = None) -> bytes:
    """An array of other numbers, type, shape or header; with `marker` perhaps one of pickled objects."""
    if marker is not None and rng.random() < 0.2:
        stream = io.BytesIO()
        np.save(stream, np.array([Payload(marker)], dtype=object), allow_pickle=True)
        return stream.getvalue()
    if rng.random() < 0.5:
        size = rng.choice((-1, 0, 1, 7, 2**31, 2**40, 2**62, 10**25))
        shape = rng.choice((f"({size},)", f"({size}, {size})", "()", f"({size}, 4)", "(3, None)", f"({size}"))
        kind = rng.choice(
            ("<f4", "<f8", "|O", "<U8", "<M8[s]", "<c16", "|V100", "<i8", "|b1", "<f2", ">f4", "|S0", "xx")
        )
        text = f"{{'descr': '{kind}', 'fortran_order': {rng.choice(('False', 'True', '1'))}, 'shape': {shape}, }}"
        header = text.encode().ljust(117) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data[128:]
    kinds = (np.float32, np.float64, np.int64, np.uint8, np.bool_, "<U3", np.complex64, np.float16, "datetime64[s]")
    shape2 = rng.choice(((), (0,), (1,), (3, 4), (0, 4), (2, 3, 4), (5,), (1, 4)))
    array = np.zeros(shape2, dtype=rng.choice(kinds))
    if array.dtype.kind == "f" and array.size:
        array.flat[0] = rng.choice((np.nan, np.inf, -1, 2, 1e30 if array.dtype != np.float16 else 1))
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def zipped(data: bytes, rng: Random, marker: Path | None = None) -> bytes:
    """An archive with a member of other content or name, missing, twice, or packed to a bomb."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError):
        return flip(data, rng)
    at = rng.randrange(len(members))
    name, content = members[at]
    kind = rng.randrange(6)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members.append(members[at])
    elif kind == 2:
        odd = rng.choice(("../../evil", "/tmp/evil", "x" * 3000, "日本.npy", "a\\b.npy", "scores.npy"))
        members[at] = (odd, content)
    elif kind == 3 and name.endswith(".npy"):
        members[at] = (name, npy(content, rng, marker))
    elif kind == 4 and name.endswith(".pkl") and marker is not None:
        members[at] = (name, pickle.dumps(Payload(marker)))
    elif name.endswith(".json"):
        members[at] = (name, changed_json(content, rng))
    else:
        members[at] = (name, rng.choice((flip, cut, noise))(content, rng))
    stream = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for each, inside in members:
            archive.writestr(zipfile.ZipInfo(each), inside + b"\0" * rng.choice((0, 0, 0, 0, 50_000_000)), packing)
    return stream.getvalue()


def tensors(data: bytes, rng: Random) -> bytes:
    """A safetensors file whose header says something else."""
    if len(data) < 8:
        return flip(data, rng)
    (size,) = struct.unpack("<Q", data[:8])
    header = changed_json(data[8 : 8 + size], rng)
    length = rng.choice((len(header), len(header), len(header), 0, 2**40, 2**63))
    return struct.pack("<Q", length) + header + data[8 + size :]


def code(data: bytes, rng: Random, marker: Path | None = None) -> bytes:
    """A pickle that would do something."""
    assert marker is not None
    return pickle.dumps(Payload(marker), protocol=rng.choice((0, 2, 4)))


def repacked(data: bytes, rng: Random) -> bytes:
    """Damaged text, compressed."""
    try:
        text = gzip.decompress(data)
    except (OSError, EOFError):
        return flip(data, rng)
    return gzip.compress(rng.choice((number, word, line, cut))(text, rng))


BYTES: tuple[Mutation, ...] = (flip, head, cut, repeat, noise)
TEXT: tuple[Mutation, ...] = (number, word, line)
BY_SUFFIX: dict[str, tuple[Any, ...]] = {
    ".json": (*TEXT, deep, changed_json, changed_json, changed_json),
    ".yaml": (*TEXT, deep, alias),
    **dict.fromkeys((".csv", ".txt", ".list", ""), TEXT),
    ".npy": (npy, npy, code),
    **dict.fromkeys((".npz", ".zip"), (zipped, zipped, code)),
    **dict.fromkeys((".pt", ".pth", ".pkl"), (zipped, code)),
    ".safetensors": (tensors, tensors),
    ".gz": (repacked, repacked),
}


def damaged(data: bytes, suffix: str, rng: Random, others: list[bytes], marker: Path) -> bytes:
    """Return a damaged form of a file's content; `others` are the contents of files of other kinds."""
    if rng.random() < 0.05:
        return rng.choice((b"", b"\0", b"\n", *others))
    mutation = rng.choice((*BYTES, *BY_SUFFIX.get(suffix, ()), *BY_SUFFIX.get(suffix, ())))
    if mutation in (npy, zipped, code):
        return bytes(mutation(data, rng, marker))
    return bytes(mutation(data, rng))
