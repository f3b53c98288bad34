"""Ground truth from annotations against the files that the community evaluates with; every difference is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.cards import find_card
from harness.data.compare import compare_truth
from harness.data.importers import import_features
from harness.records.truth import GroundTruth
from tests.data.community import listed_videos, narrow, pickled_rows, save_snippets, snippets_of
from tests.data.trees import quiet

# Their features have up to 15 frames more than the frames counted by others.
LONGER = {"Normal_Videos_924_x264", "Normal_Videos_935_x264", "Normal_Videos_940_x264"}


@pytest.fixture(scope="module")
def frames(shared: Path) -> dict[str, int]:
    """Counted frames of the UCF-Crime test videos."""
    lines = (shared / "real/ucf-crime-r3d34/Test_Annotation.txt").read_text().splitlines()
    return {line.split()[0].partition("/")[2].removesuffix(".mp4"): int(line.split()[1]) for line in lines if line}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory for the banks that the tests of this module share."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("community")
        patch.setenv("HARNESS_HOME", str(path / "home"))
        yield path


def _training_features(root: Path, videos: list[str]) -> None:
    """Ten crops of one snippet for each video, all the same file."""
    (root / "train").mkdir(parents=True)
    np.save(root / "one.npy", np.ones((1, 1), np.float32))
    for video in videos:
        for crop in range(10):
            (root / "train" / f"{video}__{crop}.npy").hardlink_to(root / "one.npy")


@pytest.fixture(scope="module")
def ucf(shared: Path, frames: dict[str, int], home: Path) -> Bank:
    """UCF-Crime as VadCLIP has it: all lists and annotations, features of as many snippets, one number wide."""
    root, lists = home / "ucf", shared / "real/lists"
    _training_features(root, listed_videos(lists / "ucf_CLIP_rgb.csv"))
    for name in ("ucf_CLIP_rgb.csv", "ucf_CLIP_rgbtest.csv", "Temporal_Anomaly_Annotation.txt"):
        shutil.copy(lists / name, root)
    shutil.copy(shared / "real/ucf-crime-r3d34/Test_Annotation.txt", root)
    tested = listed_videos(lists / "ucf_CLIP_rgbtest.csv")
    lengths = {video: -(-frames[video] // 16) if video in LONGER else frames[video] // 16 for video in tested}
    save_snippets(root / "test", lengths, "__5")
    return import_features(narrow("ucf-crime", "clip-vit-b16"), None, root, quiet).bank


@pytest.fixture(scope="module")
def xd(shared: Path, home: Path) -> Bank:
    """XD-Violence as VadCLIP has it; abnormal videos end with the snippet of their last event."""
    root, lists = home / "xd", shared / "real/lists"
    _training_features(root, listed_videos(lists / "xd_CLIP_rgb.csv"))
    for name in ("xd_CLIP_rgb.csv", "xd_CLIP_rgbtest.csv", "annotations_multiclasses.txt", "annotations.txt"):
        shutil.copy(lists / name, root)
    tested = listed_videos(lists / "xd_CLIP_rgbtest.csv")
    segments = _as_numbers(pickled_rows(lists / "gt_segment.npy"))
    lengths = {video: -(-max(end for _, end in row) // 16) for video, row in zip(tested, segments, strict=True)}
    save_snippets(root / "test", lengths, "__0")
    report = import_features(narrow("xd-violence", "clip-vit-b16"), None, root, quiet)
    (warning,) = report.warnings
    assert "annotations_multiclasses.txt:271" in warning
    assert "B1 in a video that is listed as B4" in warning
    return report.bank


@pytest.mark.parametrize(
    ("name", "trained", "tested", "abnormal"), [("ucf", 1610, 290, 140), ("xd", 3954, 800, 500)], ids=["ucf", "xd"]
)
def test_the_published_lists_fit_their_cards(
    name: str, trained: int, tested: int, abnormal: int, request: pytest.FixtureRequest
) -> None:
    """All rows, paths of another machine, labels of the lists and of the names."""
    bank: Bank = request.getfixturevalue(name)
    items = bank.split("train").items
    assert (len({item.video for item in items}), len(items)) == (trained, 10 * trained)
    truth = bank.truth()
    assert len(truth.videos) == tested
    assert sum(video.abnormal for video in truth.videos.values()) == abnormal


def _segments(truth: GroundTruth) -> list[list[list[int]]]:
    """In the form of gt_segment.npy: a normal video is one segment over its whole length."""
    return [
        [[event.start, event.end] for event in video.events] or [[0, video.frames]] for video in truth.videos.values()
    ]


def _labels(truth: GroundTruth) -> list[list[str]]:
    """In the form of gt_label.npy, where the normal class is called A."""
    names = ("A", *truth.classes[1:])
    return [[names[event.label] for event in video.events] or ["A"] for video in truth.videos.values()]


def _as_numbers(rows: list[list[list[object]]]) -> list[list[list[int]]]:
    return [[[int(str(bound)) for bound in segment] for segment in row] for row in rows]


def test_ucf_crime_equals_vadclips_segments_and_labels(ucf: Bank, shared: Path) -> None:
    lists = shared / "real/lists"
    truth = ucf.truth()
    assert _segments(truth) == _as_numbers(pickled_rows(lists / "gt_segment_ucf.npy"))
    assert _labels(truth) == pickled_rows(lists / "gt_label_ucf.npy")


def test_ucf_crime_by_every_named_protocol(ucf: Bank) -> None:
    """The totals are those of the papers, which the card expects, so a wrong one would not have been built."""
    assert ucf.variants == ("exact", "padded", "whole")
    totals = {name: Bank(ucf.path, name).truth() for name in ucf.variants}
    assert {name: truth.frames for name, truth in totals.items()} == {
        "exact": 1_111_808,
        "padded": 1_114_144,
        "whole": 1_109_824,
    }
    snippets = np.concatenate([video.mask() for video in totals["padded"].videos.values()]).reshape(-1, 16)
    assert (len(snippets), snippets.any(axis=1).sum()) == (69_634, 5_425)
    exact = sum(int(video.mask().sum()) for video in totals["exact"].videos.values())
    assert exact == 84_338


def test_a_vector_built_as_rtfm_builds_it_is_recognised(ucf: Bank, shared: Path, frames: dict[str, int]) -> None:
    """From the annotation file by a few lines of our own: abnormal first, ends included, lengths rounded up."""
    parts: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for line in (shared / "real/lists/Temporal_Anomaly_Annotation.txt").read_text().splitlines():
        video, label, *bounds = line.split()
        labels = np.zeros(-(-frames[video] // 16) * 16)
        for start, end in zip(map(int, bounds[::2]), map(int, bounds[1::2]), strict=True):
            if start >= 0:
                labels[start : end + 1] = 1
        parts[label == "Normal"].append(labels)
    found = compare_truth(ucf, np.concatenate([*parts[False], *parts[True]]).astype(bool))
    # VadCLIP's list has the abnormal videos first as well.
    assert found.convention == "ucf-crime@padded, frames, list order, lengths as they are"
    assert (found.fits, found.differences, found.rest) == (True, (), (0, 0))


def test_pel4vads_ucf_labels_are_those_of_first_frames(shared: Path, ucf: Bank, frames: dict[str, int]) -> None:
    theirs = snippets_of(shared / "real/predictions/ucf-crime-pel4vad.csv.gz")
    truth = ucf.truth()
    short = []
    for (name, video), labels in zip(truth.videos.items(), theirs, strict=True):
        np.testing.assert_array_equal(video.mask()[::16][: len(labels)], np.array(labels, dtype=bool), err_msg=name)
        if len(labels) != frames[name] // 16:
            assert len(labels) == frames[name] // 16 - 1
            assert frames[name] % 16 == 0
            short.append(name.removesuffix("_x264"))
    assert ", ".join(short[:7]) == (
        "Assault006, Burglary037, RoadAccidents010, RoadAccidents016, Shooting046, Shoplifting010, Shoplifting015"
    )
    assert short[7:] == ["Normal_Videos_881", "Normal_Videos_914"]
    assert sum(map(len, theirs)) == 69_355


def test_xd_violence_equals_vadclips_segments_and_labels(xd: Bank, shared: Path) -> None:
    lists = shared / "real/lists"
    truth = xd.truth()
    assert _segments(truth) == _as_numbers(pickled_rows(lists / "gt_segment.npy"))
    assert _labels(truth) == pickled_rows(lists / "gt_label.npy")
    merged = Bank(xd.path, "merged").truth()
    snippets = np.concatenate([v.mask() for v in merged.videos.values() if v.abnormal]).reshape(-1, 16)
    # The two published counts of positive snippets, each before 71 of them are cut at the features' end.
    assert snippets.any(axis=1).sum() == 34_656 + 71
    assert snippets[:, 0].sum() == 33_602 + 71


def test_the_two_annotation_files_of_xd_violence_mark_other_frames_in_five_videos(xd: Bank) -> None:
    merged = Bank(xd.path, "merged").truth()
    differ = {
        name: np.flatnonzero(video.mask() != merged.videos[name].mask()) for name, video in xd.truth().videos.items()
    }
    found = {name: (int(at[0]), int(at[-1]) + 1) for name, at in differ.items() if len(at)}
    assert found == {
        "v=38GQ9L2meyE__#1_label_B6-0-0": (4511, 4650),
        "Love.Death.and.Robots.S01E10__#0-01-00_0-02-13_label_B2-G-0": (1190, 1191),
        "Rush.Hour.1998.BluRay__#00-08-08_00-09-15_label_B2-B6-G": (1260, 1261),
        "The.Bourne.Ultimatum.2007__#01-26-27_01-28-03_label_B2-B6-0": (1562, 1563),
        "v=Rc9EOFjtj0c__#1_label_B6-0-0": (3194, 3195),
    }


def _abnormal_first(root: Path) -> list[str]:
    rows = [line.split(",") for line in (root / "test.csv").read_text().splitlines()[1:]]
    return [Path(path).stem for path, label in sorted(rows, key=lambda row: row[1] == "Normal")]


def test_shanghaitech_equals_rtfms_vector(shared: Path, real: Path, tmp_path: Path) -> None:
    """With as many snippets as the features that the vector was made for, which a prediction file tells."""
    source = real / "shanghaitech-tracks"
    order = _abnormal_first(source)
    snippets = [len(labels) for labels in snippets_of(shared / "real/predictions/shanghaitech-pel4vad.csv.gz")]
    lengths = dict(zip(order, snippets, strict=True))
    save_snippets(tmp_path, lengths, "_i3d", (2, 1))
    trained = [Path(line.split(",")[0]).stem for line in (source / "train.csv").read_text().splitlines()[1:]]
    save_snippets(tmp_path, dict.fromkeys(trained, 1), "_i3d", (2, 1))
    for name, videos in (("train", trained), ("test", order)):
        lines = [f"/home/someone/SH_ten_crop_i3d/{video}_i3d.npy\n" for video in videos]
        (tmp_path / f"shanghai-i3d-{name}-10crop.list").write_text("".join(lines))
    (tmp_path / "test_frame_mask").symlink_to(source / "frame_labels")
    bank = import_features(narrow("shanghaitech", "i3d-2048", crops=2), None, tmp_path, quiet).bank
    vector = np.load(shared / "real/lists/gt-sh.npy")
    ours = np.concatenate([video.mask() for video in bank.truth().videos.values()])
    np.testing.assert_array_equal(ours, vector.astype(bool))
    assert (len(ours), ours.sum()) == (142_912, 8_028)
    found = compare_truth(bank, vector.astype(bool))
    assert (found.fits, found.differences) == (True, ())


def test_shanghaitech_tracks_differ_from_rtfms_vector_in_the_lengths_of_normal_videos(real: Path, shared: Path) -> None:
    bank = import_features(find_card("shanghaitech-tracks"), None, real / "shanghaitech-tracks", quiet).bank
    vector = np.load(shared / "real/lists/gt-sh.npy").astype(bool)
    found = compare_truth(bank, vector)
    assert found.convention.startswith("shanghaitech-tracks@padded, frames, abnormal first")
    assert (found.fits, found.differences, found.rest) == (False, (), (704, 0))
    truth = Bank(bank.path, "padded").truth()
    order = sorted(truth.videos, key=lambda video: not truth.videos[video].abnormal)
    theirs = snippets_of(shared / "real/predictions/shanghaitech-pel4vad.csv.gz")
    differ = {
        name: len(labels) - truth.videos[name].frames // 16
        for name, labels in zip(order, theirs, strict=True)
        if len(labels) * 16 != truth.videos[name].frames
    }
    assert not any(truth.videos[name].abnormal for name in differ)
    assert (len(differ), sum(differ.values())) == (49, 44)
