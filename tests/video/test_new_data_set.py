"""`harness data new` and `data import --videos`: from labelled videos to a bank."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.card import read_card
from harness.data.cards import find_card, open_bank
from tests.video.films import film

Call = Callable[..., tuple[int, str, str]]
ONE_CROP = ("--protocol", "vadclip-centre-crop")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("films")
    for number in range(8):
        film(root / f"Clip {number}.mp4", frames=20 + number, seed=number)
    return root


@pytest.fixture
def own(films: Path, tmp_path: Path) -> Path:
    root = tmp_path / "own"
    root.mkdir()
    for path in films.iterdir():
        (root / path.name).symlink_to(path)
    rows = [("video", "label", "start", "end")]
    rows += [(f"Clip {n}.mp4", "normal", "", "") for n in range(4)]
    rows += [(f"Clip {n}", "Road accident", "0.2", "0.6") for n in range(4, 8)] + [
        ("Clip 4", "Road accident", "0.7", "0.75")
    ]
    write(root, rows)
    return root


def write(root: Path, rows: list[tuple[str, ...]]) -> None:
    with (root / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def test_a_card_is_written_from_what_is_there(own: Path, harness: Call) -> None:
    code, out, err = harness("data", "new", str(own))
    assert code == 0, err
    assert f"next: harness data import {own / 'own.yaml'} --videos {own}" in out
    card = read_card(own / "own.yaml")
    assert card.class_names == ("Normal", "Road-accident")
    assert card.prompts == ("normal", "road accident")
    assert (card.fps, card.frame_rule) == (25.0, "exact")
    assert {name: split.videos for name, split in card.splits.items()} == {"train": 6, "test": 2}
    text = {name: (own / f"{name}.txt").read_text() for name in ("train", "test", "annotations")}
    assert len(text["train"].splitlines()) == 6
    tested = [line for line in text["annotations"].splitlines() if "Road" in line]
    assert all(" 5 15" in line for line in tested)
    assert harness("data", "new", str(own)) == (code, out, err)


def test_a_table_of_a_spreadsheet_is_read(own: Path, harness: Call) -> None:
    assert harness("data", "new", str(own))[0] == 0
    before = (own / "train.txt").read_text()
    for mark in ";\t":
        table = own / "labels.csv"
        table.write_text(table.read_text().replace(",", mark).replace(";", mark))
        assert harness("data", "new", str(own))[0] == 0
        assert (own / "train.txt").read_text() == before


def test_a_damaged_video_ends_the_import_in_words_of_its_own(own: Path, harness: Call) -> None:
    harness("data", "new", str(own))
    (own / "Clip 1.mp4").unlink()
    (own / "Clip 1.mp4").write_text("no video")
    options = ("data", "import", str(own / "own.yaml"), "--videos", str(own), *ONE_CROP)
    code, _, err = harness(*options)
    assert code == 2
    assert "1 of the listed videos gave no features" in err
    assert "add --partial" in err
    assert harness(*options, "--partial")[0] == 0


def test_the_table_may_say_the_split(own: Path, harness: Call) -> None:
    rows = [("video", "label", "start", "end", "split")]
    for n in range(8):
        event = ("0.2", "0.6") if n > 3 else ("", "")
        rows.append((f"Clip {n}.mp4", "accident" if n > 3 else "0", *event, "test" if n % 2 else "train"))
    write(own, rows)
    assert harness("data", "new", str(own), "--name", "halves")[0] == 0
    names = {line.split(".mp4")[0] for line in (own / "test.txt").read_text().splitlines()}
    assert names == {f"Clip {n}" for n in (1, 3, 5, 7)}


N = ("Clip {}.mp4", "normal", "", "")
WRONG = {
    "no header": ([("Clip 0.mp4", "normal")], "expected the header video,label"),
    "unknown column": ([("video", "label", "class")], "expected the header"),
    "start alone": ([("video", "label", "start")], "expected the header"),
    "unknown video": ([("video", "label"), ("other.mp4", "normal")], "labels.csv:2: video 'other.mp4' is not there"),
    "no row": ([("video", "label"), ("Clip 0", "normal")], "7 of 8 videos have no row, such as Clip 1"),
    "two labels": ([("video", "label"), ("Clip 0", "a"), ("Clip 0", "b")], "had another label or split at"),
    "event of a normal one": (
        [("video", "label", "start", "end"), ("Clip 0", "normal", "1", "2")],
        "a normal video has no event",
    ),
    "reversed": ([("video", "label", "start", "end"), ("Clip 0", "a", "2", "1")], "expected 0 <= start < end"),
    "no number": ([("video", "label", "start", "end"), ("Clip 0", "a", "x", "1")], "expected seconds"),
    "no normal": ([("video", "label"), *((f"Clip {n}", "a") for n in range(8))], "expected normal videos"),
    "no event": (
        [("video", "label"), *((f"Clip {n}", "a" if n else "normal") for n in range(8))],
        "no normal video for the test",
    ),
    "no tested event": (
        [("video", "label"), *((f"Clip {n}", "a" if n > 3 else "normal") for n in range(8))],
        "no abnormal video for the test; those of the test need start,end",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_tables_are_one_line(own: Path, harness: Call, case: str) -> None:
    rows, said = WRONG[case]
    write(own, rows)
    code, _, err = harness("data", "new", str(own))
    assert code == 2
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_videos_become_a_bank_that_is_found_by_name(own: Path, harness: Call) -> None:
    assert harness("data", "new", str(own))[0] == 0
    card_file = str(own / "own.yaml")
    code, _, err = harness("run", "--methods", "random", "--dataset", card_file)
    assert code == 2
    assert "has no features yet" in err
    code, out, err = harness("data", "import", card_file, "--videos", str(own), *ONE_CROP)
    assert code == 0, err
    assert "seeded-vit-2x128 (random weights, not CLIP)" in out
    card = find_card("own")
    (name,) = card.features
    bank = open_bank(card, None)
    assert sum(item.snippets for item in bank.split("train").items) == 6 * 2
    frames = {video: each.frames for video, each in bank.truth().videos.items()}
    assert frames == {f"Clip {n}": 20 + n for n in range(8) if f"Clip {n}" in frames}
    assert name.startswith("vadclip-centre-crop-")
    facts = json.loads((bank.path / "videos.json").read_text())
    assert {video: each["frames"] for video, each in facts.items()} == {f"Clip {n}": 20 + n for n in range(8)}
    assert {each["codec"] for each in facts.values()} == {"h264"}
    # Another protocol is another set of the same data set; runs keep the card's identity.
    digest = card.digest
    code, _, err = harness("data", "import", card_file, "--videos", str(own), "--protocol", "whole")
    assert code == 0, err
    both = find_card("own")
    assert len(both.features) == 2
    assert both.digest == digest
    assert both.protocol_of(name) != both.protocol_of(next(other for other in both.features if other != name))
    assert harness("data", "verify", "own", "--features", name)[0] == 0
    code, _, err = harness("data", "verify", "own")
    assert code == 2
    assert "has several feature sets; choose with --features" in err


def test_an_extraction_at_hand_is_imported(own: Path, harness: Call, tmp_path: Path) -> None:
    harness("data", "new", str(own))
    assert harness("extract", str(own), *ONE_CROP, "--to", str(tmp_path / "x"))[0] == 0
    code, _, err = harness("data", "import", str(own / "own.yaml"), "--extracted", str(tmp_path / "x"))
    assert code == 0, err
    row = np.load(tmp_path / "x" / "features" / "Clip 0.npy")[0]
    split = open_bank(find_card("own"), None).split("train")
    assert any(np.array_equal(split.item_features(n)[0], row) for n in range(len(split.items)))


def test_the_videos_of_a_card_are_extracted_for_its_import(own: Path, harness: Call) -> None:
    harness("data", "new", str(own))
    card = str(own / "own.yaml")
    code, out, err = harness("extract", str(own), "--dataset", card, *ONE_CROP, "--json")
    assert code == 0, err
    directory = json.loads(out)["directory"]
    assert f"next: harness data import {card} --extracted {directory}" in err
    assert harness("data", "import", card, "--extracted", directory)[0] == 0
    code, _, err = harness("data", "import", card, "--videos", str(own), *ONE_CROP)
    assert code == 0
    assert "8 of 8 videos are extracted already" in err
    for wrong in ([], ["--to", "x", "--dataset", card]):
        code, _, err = harness("extract", str(own), *wrong)
        assert code == 2
        assert "needs --to DIRECTORY for the features, or --dataset CARD" in err


def test_what_is_missing_is_said_before_hours_of_extraction(own: Path, harness: Call) -> None:
    harness("data", "new", str(own))
    (own / "Clip 0.mp4").unlink()
    code, _, err = harness("data", "import", str(own / "own.yaml"), "--videos", str(own), *ONE_CROP)
    assert code == 2
    assert "1 of 8 listed videos are not under" in err
    assert "extract:" not in err
    code, _, err = harness("data", "import", str(own / "own.yaml"), "--videos", str(own), *ONE_CROP, "--partial")
    assert code == 0, err
    assert open_bank(find_card("own"), None).partial


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "needs --root DIR with features, or --videos DIR"),
        (["--root", "x", "--videos", "y"], "give one of --root, --videos and --extracted"),
        (["--root", "x", "--annotations", "y"], "--annotations: belongs to --videos"),
        (["--videos", "y", "--protocol", "vadclop"], "unknown protocol 'vadclop'; did you mean vadclip"),
        (["--videos", "y", "--protocol", "anomalyclip"], "makes a row of 1 frames"),
        (["--videos", "y", "--image-tower", "./nowhere"], "image tower ./nowhere"),
        (["--extracted", "y"], "no extraction here"),
    ],
)
def test_wrong_options(own: Path, harness: Call, options: list[str], said: str) -> None:
    harness("data", "new", str(own))
    options = [str(own) if word == "y" else word for word in options]
    code, _, err = harness("data", "import", str(own / "own.yaml"), *options)
    assert code == 2
    assert said in err


def test_lists_of_the_community_name_crops(films: Path, harness: Call, tmp_path: Path) -> None:
    """UCF-Crime's training list names ten crops of each video, its test list crop 5: the rows of an extraction."""
    lists = tmp_path / "lists"
    lists.mkdir()
    rows = [f"/elsewhere/Clip {n}__{k}.npy,{'Normal' if n < 2 else 'Abuse'}" for n in (0, 1, 2, 3) for k in range(10)]
    (lists / "train.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    (lists / "test.csv").write_text("path,label\nClip 6__5.npy,Normal\nClip 7__5.npy,Abuse\n")
    (lists / "times.txt").write_text("Clip 7.mp4 Abuse 4 12 -1 -1\nClip 6.mp4 Normal -1 -1 -1 -1\n")
    card = tmp_path / "ten.yaml"
    card.write_text(
        "name: ten\ntitle: Ten\nalignment: {kind: stride, stride: 16}\n"
        "classes: [{name: Normal, prompt: normal}, {name: Abuse, prompt: abuse}]\n"
        "splits: {train: {list: train.csv, videos: 4}, test: {list: test.csv, videos: 2}}\n"
        "annotations: {format: ucf, path: times.txt}\n"
    )
    options = ("data", "import", str(card), "--videos", str(films), "--annotations", str(lists), "--protocol")
    assert harness(*options, "vadclip")[0] == 0
    bank = open_bank(find_card("ten"), None)
    assert {item.crop for item in bank.split("train").items} == set(range(10))
    assert [(item.video, item.crop) for item in bank.split("test").items] == [("Clip 6", 5), ("Clip 7", 5)]
    assert harness(*options, "vadclip-centre-crop")[0] == 0
    single = open_bank(find_card("ten"), next(n for n in find_card("ten").features if "centre" in n))
    assert [(item.video, item.crop) for item in single.split("train").items] == [(f"Clip {n}", 0) for n in range(4)]
    assert [item.crop for item in single.split("test").items] == [0, 0]


def test_a_table_with_a_column_too_many_or_one_bound_alone_is_refused(own: Path, harness: Call) -> None:
    """A misspelt column must not lose the events; a row may leave out what it has not."""
    rows = [(f"Clip {n}.mp4", "a" if n > 3 else "normal", "0.2", "0.6")[: 4 if n > 3 else 2] for n in range(8)]
    for header, said in (
        (("video", "label", "begin", "end"), "column 'begin' is not known"),
        (("video", "label", "start"), "start"),
    ):
        write(own, [header, *(row[: len(header)] for row in rows)])
        code, _, err = harness("data", "new", str(own))
        assert code == 2
        assert said in err
        assert "expected the header video,label" in err
    write(own, [("video", "label", "start", "end"), *rows])
    assert harness("data", "new", str(own))[0] == 0
