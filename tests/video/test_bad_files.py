"""What gives no features is one line, alone or among good videos; never a traceback, never the end of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.video.films import cut_off, film, sound

Call = Callable[..., tuple[int, str, str]]
OPTIONS = ("--protocol", "vadclip-centre-crop")


def _text(path: Path) -> Path:
    path.write_text("this is no video\n" * 100)
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _no_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def _noise(path: Path) -> Path:
    film(path, 40)
    content = bytearray(path.read_bytes())
    begin, end = content.index(b"mdat") + 4, content.index(b"moov") - 4
    content[begin:end] = bytes(17 * number % 251 for number in range(end - begin))
    path.write_bytes(content)
    return path


BAD: dict[str, Callable[[Path], Path]] = {
    "text.mp4": _text,
    "empty.mp4": _empty,
    "sound.mp4": sound,
    "no-frames.avi": _no_frames,
    "no-index.mp4": lambda path: cut_off(film(path, 40), 0.7),
    "noise.mp4": _noise,
    "header.mkv": lambda path: cut_off(film(path, 40, codec="ffv1", pixels="bgr0"), 0.005),
}


def lines_of(text: str) -> list[str]:
    """Lines beside those that say how far it is and with which tower."""
    return [line for line in text.splitlines() if not line.startswith(("extract: ", "image tower: "))]


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_alone_is_an_error(name: str, harness: Call, tmp_path: Path) -> None:
    path = BAD[name](tmp_path / name)
    code, stdout, stderr = harness("extract", str(path), *OPTIONS, "--to", str(tmp_path / "out"))
    assert (code, stdout) == (2, "")
    told, error = lines_of(stderr)
    assert told.startswith(f"left out: {path}: ")
    assert error.startswith(f"error: {tmp_path / 'out'}: none of 1 videos gave features; {path}: ")
    assert not list((tmp_path / "out").rglob("*.npy"))


def test_bad_files_among_good_ones_are_counted_and_left_out(harness: Call, tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    for name, make in BAD.items():
        make(folder / name)
    for number in range(3):
        film(folder / f"good{number}.mp4", 20, seed=number)
    (folder / "._good0.mp4").write_bytes(b"left by another system")
    command = ("extract", str(folder), *OPTIONS, "--to", str(out), "--jobs", "2")
    code, stdout, stderr = harness(*command)
    assert code == 1
    assert stdout.startswith("3 videos, 60 frames now, 6 rows now of 512-d")
    assert f"; {len(BAD)} left out; wrote {out}" in stdout
    assert {line.split(": ")[1] for line in lines_of(stderr)} == {str(folder / name) for name in BAD}
    reasons = (out / "left_out.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in reasons] == sorted(str(folder / name) for name in BAD)
    assert sorted(path.name for path in (out / "features").iterdir()) == ["good0.npy", "good1.npy", "good2.npy"]
    for name in BAD:
        (folder / name).unlink()
    code, stdout, stderr = harness(*command)
    assert (code, lines_of(stderr)) == (0, ["3 of 3 videos are extracted already"])
    assert not (out / "left_out.txt").exists()


def test_a_video_that_became_a_bad_one_loses_its_features(harness: Call, tmp_path: Path) -> None:
    for name in ("a", "b"):
        film(tmp_path / f"{name}.mp4", 20)
    command = ("extract", str(tmp_path), *OPTIONS, "--to", str(tmp_path / "out"))
    assert harness(*command)[0] == 0
    _text(tmp_path / "a.mp4")
    assert harness(*command)[0] == 1
    assert {path.name for path in (tmp_path / "out").rglob("[ab].*")} == {"b.npy", "b.json"}
    assert (tmp_path / "out" / "frame_counts.csv").read_text() == "video,frames\nb,20\n"
    film(tmp_path / "a.mp4", 30)
    assert harness(*command)[0] == 0
    assert (tmp_path / "out" / "frame_counts.csv").read_text() == "video,frames\na,30\nb,20\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["none.mp4"], "none.mp4: no such video, directory or pattern"),
        (["*.mkv"], "*.mkv: no file has such a name"),
        (["empty"], "empty: no video here"),
        (["rtsp://camera/1"], "harness detect --stream"),
        (["a.mp4", "sub/a.mp4"], "both would be called a"),
        ([".hidden.mp4"], "a hidden file"),
    ],
)
def test_sources_that_name_nothing(
    words: list[str], expected: str, harness: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "sub/a.mp4", ".hidden.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        film(Path(name), 2)
    Path("empty").mkdir()
    code, stdout, stderr = harness("extract", *words, "--to", "out")
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1
    assert expected in stderr


def test_the_same_file_named_twice_is_extracted_once(harness: Call, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", 2)
    code, stdout, _ = harness("extract", str(path), str(tmp_path), f"{tmp_path}/*.mp4", "--to", str(tmp_path / "out"))
    assert code == 0
    assert stdout.startswith("1 videos, 2 frames now")
