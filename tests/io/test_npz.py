"""Archives of arrays from anywhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.io.npz import arrays_digest, read_npz, readable


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_text_is_made_of_characters(tmp_path: Path, order: str) -> None:
    texts = np.array(["Abuse001", "Straße"], dtype=f"{order}U8")
    assert readable(texts)
    assert readable(np.arange(3))
    assert readable(np.zeros(2, dtype="<U0"))
    codes = np.frombuffer(texts.tobytes(), f"{order}u4").copy()
    codes[3] = 0x110000
    wrong = np.frombuffer(codes.tobytes(), texts.dtype)
    assert not readable(wrong)
    np.savez(tmp_path / "wrong.npz", videos=wrong)
    with pytest.raises(UserError, match=r"wrong.npz: videos holds a text with characters that do not exist"):
        read_npz(tmp_path / "wrong.npz")


def test_a_member_that_is_longer_than_its_array_is_checked_whole(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, scores=np.arange(100, dtype=np.float32))
    content = path.read_bytes()
    shorter = content.replace(b"(100,)", b"(10,) ", 1)
    assert shorter != content
    path.write_bytes(shorter)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() == "scores.npy"
    with pytest.raises(UserError, match="not a readable npz file"):
        read_npz(path)


def test_the_hash_of_arrays_is_of_names_types_shapes_and_values() -> None:
    one = {"a": np.arange(6, dtype=np.float32)}
    assert arrays_digest(one) == arrays_digest({"a": np.arange(6, dtype=np.float32)})
    others = [
        {"b": one["a"]},
        {"a": one["a"].astype(np.float64)},
        {"a": one["a"].reshape(2, 3)},
        {"a": one["a"] + 1},
        {**one, "b": one["a"]},
    ]
    assert len({arrays_digest(arrays) for arrays in (one, *others)}) == 6
