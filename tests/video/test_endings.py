"""How an extraction ends early: stopped by Ctrl-C, without room to write, or beside a second one."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.errors import Unwritable
from harness.records.extraction import VideoFacts, VideoRecord
from harness.video.extract import Report, Setup, extract
from harness.video.extraction import ExtractionWriter
from harness.video.protocols import find_protocol
from harness.video.sources import find_videos
from harness.video.towers.tower import ImageTower
from tests.video.conftest import PROTOCOL, quiet
from tests.video.films import film
from tests.video.test_bad_files import BAD
from tests.video.test_kills import at_work, command, files_of

Call = Callable[..., tuple[int, str, str]]


def start(line: list[str], limit: int = 0) -> subprocess.Popen[str]:
    """Start a command, in which no file may become larger than `limit` bytes, as on a full disk."""
    limited = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limited)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short video and some that take a while."""
    folder = tmp_path_factory.mktemp("long")
    film(folder / "a.mp4", 5)
    for name in "bcde":
        film(folder / f"{name}.mp4", 3000, codec="mpeg4")
    return folder


def test_ctrl_c_says_how_to_go_on(long: Path, tmp_path: Path) -> None:
    process = start(command(long, tmp_path, "--jobs", "3"))
    while not list(tmp_path.glob("videos/*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - stopped < 10
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-2:] == [
        f"{tmp_path}: 1 of 5 videos are finished; the same command goes on",
        "interrupted",
    ]
    assert "Traceback" not in stderr
    assert sorted(files_of(tmp_path)) == ["extraction.json", "features/a.npy", "videos/a.json"]


def test_a_stop_between_record_and_report_counts_what_is_on_disk(
    tower: ImageTower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        film(tmp_path / f"{name}.mp4", 5)
    finish, said = ExtractionWriter.finish, list[str]()

    def stopped_behind(writer: ExtractionWriter, video: str, facts: VideoFacts) -> VideoRecord:
        record = finish(writer, video, facts)
        if video == "b":
            raise KeyboardInterrupt
        return record

    monkeypatch.setattr(ExtractionWriter, "finish", stopped_behind)
    videos, out = find_videos([str(tmp_path)]), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        extract(videos, find_protocol(PROTOCOL), Setup(tower, readers=1), out, said.append, quiet)
    assert said == [f"{out}: 2 of 3 videos are finished; the same command goes on"]


def test_without_room_the_command_ends_in_one_line(long: Path, tmp_path: Path) -> None:
    process = start(command(long, tmp_path, "--jobs", "2"), limit=40_000)
    stdout, stderr = process.communicate(timeout=100)
    assert (process.returncode, stdout) == (2, "")
    last = stderr.splitlines()[-1]
    wanted = rf"error: {tmp_path}/features/[b-e]\.npy: cannot be written \(File too large\); free space or choose .*"
    assert re.fullmatch(wanted, last), stderr
    assert "Traceback" not in stderr
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_second_command_waits_for_the_first(extracted: Callable[..., Report], tmp_path: Path) -> None:
    folder, out = tmp_path / "videos", tmp_path / "out"
    folder.mkdir()
    for number in range(6):
        film(folder / f"{number}.mp4", 40, seed=number)
    first = start(command(folder, out, "--protocol", PROTOCOL))
    at_work(out, first)
    assert first.poll() is None
    report = extracted(out, folder)
    assert (report.done, report.before) == ([], list("012345"))
    assert first.communicate(timeout=60)[0].startswith("6 videos, 240 frames now")


def test_the_decoder_writes_no_lines_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, make in BAD.items():
        make(folder / name)
    film(folder / "good.mp4", 3)
    stdout, stderr = (process := start(command(folder, tmp_path / "out"))).communicate(timeout=100)
    assert process.returncode == 1
    assert stdout.startswith("1 videos")
    assert len(stdout.splitlines()) == 1
    lines = [line for line in stderr.splitlines() if not line.startswith(("extract: ", "image tower: "))]
    assert len(lines) == len(BAD)
    assert all(line.startswith("left out: ") for line in lines)


def test_a_directory_that_cannot_be_written_is_one_line(harness: Call, tmp_path: Path) -> None:
    video = film(tmp_path / "a.mp4", 3)
    places = [video / "out"]
    if os.geteuid():  # nothing is read-only to root
        (tmp_path / "read-only").mkdir(mode=0o500)
        places.append(tmp_path / "read-only" / "out")
    for place in places:
        code, stdout, stderr = harness("extract", str(video), "--to", str(place))
        assert (code, stdout) == (2, "")
        assert f"error: {place}" in stderr.splitlines()[-1]
        assert "cannot be written" in stderr.splitlines()[-1]


def test_features_of_another_kind_are_not_mixed(harness: Call, tmp_path: Path) -> None:
    video, out = film(tmp_path / "a.mp4", 3), ("--to", str(tmp_path / "out"))
    assert harness("extract", str(video), *out)[0] == 0
    kept = files_of(tmp_path / "out")
    for other in (("--protocol", "whole"), ("--batch", "5"), ("--precision", "bf16")):
        code, _, stderr = harness("extract", str(video), *out, *other)
        line = stderr.splitlines()[-1]
        assert code == 2
        assert "holds features of another kind" in line
        words = re.fullmatch(r".* kind \((.*)\); these would be (.*); choose another --to", line)
        assert words
        assert words[1] != words[2]
    assert files_of(tmp_path / "out") == kept
    assert harness("extract", str(video), *out, "--crop-files")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out" / "crops").iterdir()) == [f"a__{k}.npy" for k in range(10)]


def test_no_thread_stays_behind_an_error(extracted: Callable[..., Report], long: Path, tmp_path: Path) -> None:
    before = threading.active_count(), torch.get_num_threads()
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(Unwritable, match=r"features/[a-e]\.npy: cannot be written \(not a directory\)"):
        extracted(tmp_path, long, readers=3)
    assert (threading.active_count(), torch.get_num_threads()) == before
