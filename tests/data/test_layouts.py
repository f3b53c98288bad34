"""The layouts in which the community's features lie on disk, each with its own names, list and annotation files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.importers import import_features
from harness.data.sources import ALL_CROPS
from harness.errors import UserError
from harness.records.truth import Event
from tests.data.layouts import STALE, UCF_TEST, UCF_TRAIN, WIDTH, XD_TEST, XD_TRAIN, array, items, small
from tests.data.trees import Tree, quiet, ucf_tree


def ucf(root: Path, features: str) -> Tree:
    """UCF-Crime with two training and two test videos and both annotation files."""
    counts = {"Normal": 1, "Abuse": 1}
    tree = small("ucf-crime", features, root, counts, counts)
    tree.text(
        "Temporal_Anomaly_Annotation.txt",
        "Abuse028_x264.mp4  Abuse  16  40  -1  -1  ",
        "Normal_Videos003_x264.mp4  Normal  -1  -1  -1  -1  ",
    )
    tree.text(
        "Test_Annotation.txt",
        "Abuse/Abuse028_x264.mp4 70 Abuse 16 40 -1 -1",
        "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4 80 Normal -1 -1 -1 -1",
    )
    return tree


def test_rtfm_lists_with_ten_crops_in_one_array(tmp_path: Path) -> None:
    tree = ucf(tmp_path / "ucf", "i3d-2048")
    for split, videos in (("ucf-i3d", UCF_TRAIN), ("ucf-i3d-test", UCF_TEST)):
        tree.text(f"{split}.list", *(f"{STALE}/{video}_i3d.npy" for video in videos))
        for video in videos:
            tree.array(f"all/{video}_i3d.npy", array(video, 5, 10, WIDTH))
    bank = tree.load().bank
    assert items(bank, "train") == [
        (v, crop, (n,)) for n, v in ((1, UCF_TRAIN[0]), (0, UCF_TRAIN[1])) for crop in range(10)
    ]
    split = bank.split("test")
    for crop in range(10):
        np.testing.assert_array_equal(split.item_features(crop), array(UCF_TEST[0], 5, 10, WIDTH)[:, crop])
    assert bank.truth().videos["Abuse028_x264"].events == (Event(16, 40, 1),)
    assert bank.variants == ("exact", "padded", "whole")
    lengths = {name: [v.frames for v in Bank(bank.path, name).truth().videos.values()] for name in bank.variants}
    assert lengths == {"exact": [70, 80], "padded": [80, 80], "whole": [64, 80]}
    assert Bank(bank.path, "padded").truth().videos["Abuse028_x264"].events == (Event(16, 41, 1),)
    assert Bank(bank.path, "exact").truth().videos["Abuse028_x264"].events == (Event(15, 40, 1),)


@pytest.mark.parametrize("first", ["__0", ""], ids=["ur-dmu", "pel4vad"])
def test_one_file_per_crop_and_labels_from_names(tmp_path: Path, first: str) -> None:
    tree = ucf(tmp_path / "ucf", "i3d-1024")
    for split, videos in (("UCF_Train", UCF_TRAIN), ("UCF_Test", UCF_TEST)):
        names = [f"{video}{suffix}" for video in videos for suffix in (first, "__1", "__2")]
        tree.text(f"{split}.list", *(f"{STALE}/{name}.npy" for name in names))
        for name in names:
            tree.array(f"{split}/{name}.npy", array(name))
    bank = tree.load().bank
    assert items(bank, "train")[2:4] == [("Abuse001_x264", 2, (1,)), ("Normal_Videos001_x264", 0, (0,))]
    np.testing.assert_array_equal(bank.split("test").item_features(1), array("Abuse028_x264__1"))


def hlnet(root: Path, features: str, audio_rows: int) -> Tree:
    """XD-Violence in HL-Net's layout: five crops, audio in another folder."""
    tree = small("xd-violence", features, root, {"A": 1, "B2": 1}, {"A": 1, "B2": 1, "B6": 1, "G": 1})
    for name, folder, videos in (("rgb", "RGB", XD_TRAIN), ("rgb_test", "RGBTest", XD_TEST)):
        tree.text(f"{name}.list", *(f"/media/x/Samsung T5/{folder}/{v}__{k}.npy" for v in videos for k in range(5)))
        for video in videos:
            tree.array(f"vggish-features/{video}__vggish.npy", array(video, audio_rows, 1))
            for k in range(5):
                tree.array(f"i3d-features/{folder}/{video}__{k}.npy", array(f"{video}__{k}"))
    tree.text("annotations_multiclasses.txt", f"{XD_TEST[0]} B2 0 17 G 30 60")
    tree.text("annotations.txt", f"{XD_TEST[0]} 0 17 30 60")
    return tree


def test_hlnet_with_five_crops_and_codes_in_the_name(tmp_path: Path) -> None:
    bank = hlnet(tmp_path / "xd", "i3d-1024", 5).load().bank
    assert Counter(item.video for item in bank.split("train").items) == dict.fromkeys(XD_TRAIN, 5)
    truth = bank.truth().videos[XD_TEST[0]]
    assert truth.labels == (2, 5, 6)
    assert truth.events == (Event(0, 17, 2), Event(30, 60, 6))
    assert Bank(bank.path, "merged").truth().videos[XD_TEST[0]].events == (Event(0, 17, 2), Event(30, 60, 2))


def test_the_width_of_each_file_is_that_of_a_field(tmp_path: Path) -> None:
    tree = hlnet(tmp_path / "xd", "i3d-vggish", 5)
    tree.array(f"vggish-features/{XD_TEST[0]}__vggish.npy", array(XD_TEST[0], 5, 2))
    with pytest.raises(
        UserError, match=r"\(5, 2\), expected \(snippets, 1\) by `features.i3d-vggish.audio_dim` of the"
    ):
        tree.load()
    (file,) = tree.root.rglob(f"{XD_TEST[0]}__0.npy")
    np.save(file, array(XD_TEST[0], 5, 7))
    both = r"`features.i3d-vggish.dim` less `features.i3d-vggish.audio_dim`"
    with pytest.raises(UserError, match=rf"\(5, 7\), expected \(snippets, 3\) by {both} of the card"):
        tree.load()


@pytest.mark.parametrize("audio_rows", [5, 4], ids=["as-many", "one-less"])
def test_audio_goes_behind_every_crop_and_the_last_visual_row_goes(tmp_path: Path, audio_rows: int) -> None:
    bank = hlnet(tmp_path / "xd", "i3d-vggish", audio_rows).load().bank
    rows = bank.split("test").item_features(3)
    seen, heard = array(f"{XD_TEST[0]}__3")[:audio_rows], array(XD_TEST[0], audio_rows, 1)
    np.testing.assert_array_equal(rows, np.concatenate([seen, heard], axis=1))
    assert bank.truth().videos[XD_TEST[0]].frames == 16 * audio_rows


def test_audio_of_another_length_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"__vggish\.npy: 3 rows, .*__0\.npy has 5; expected as many or one less"):
        hlnet(tmp_path / "short", "i3d-vggish", 3).load()
    tree = hlnet(tmp_path / "none", "i3d-vggish", 5)
    (tree.root / "vggish-features" / f"{XD_TRAIN[1]}__vggish.npy").unlink()
    with pytest.raises(UserError, match=r"rgb\.list:6: 1 feature file is not under .*Bad\.Boys.*__vggish\.npy"):
        tree.load()


def test_sultanis_text_files(tmp_path: Path) -> None:
    counts = {"Normal": 1, "Abuse": 1}
    tree = small("ucf-crime-c3d", "c3d", tmp_path / "c3d", counts, counts)
    tree.text(
        "Anomaly_Train.txt", "Abuse/Abuse001_x264.mp4", "Training_Normal_Videos_Anomaly/Normal_Videos001_x264.mp4"
    )
    tree.text("Anomaly_Test.txt", "Abuse/Abuse028_x264.mp4", "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4")
    for video in (*UCF_TRAIN, *UCF_TEST):
        folder = tree.root / "C3D" / video[:5]
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / f"{video}{'_C' if video == 'Abuse028_x264' else ''}.txt", array(video, 32))
    tree.text(
        "Test_Annotation.txt",
        "Abuse/Abuse028_x264.mp4 1412 Abuse 165 240 -1 -1",
        "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4 2822 Normal -1 -1 -1 -1",
    )
    bank = tree.load().bank
    np.testing.assert_allclose(bank.split("test").item_features(0), array("Abuse028_x264", 32), rtol=1e-6)
    truth = bank.truth()
    assert [video.frames for video in truth.videos.values()] == [1412, 2822]
    assert truth.videos["Abuse028_x264"].events == (Event(164, 240, 1),)
    assert truth.alignment.kind == "segments"


def test_pel4vads_shanghaitech_lists_with_labels(tmp_path: Path) -> None:
    counts = {"Normal": 1, "Anomaly": 1}
    tree = small("shanghaitech", "i3d-1024", tmp_path / "sh", counts, counts)
    tree.text("train.list", *(f"train/{v} {y}" for v, y in _crops({"01_0014": "1.0", "01_002": "0.0"})))
    tree.text("test.list", *(f"test/{v}" for v, _ in _crops({"01_0015": "", "01_001": ""})))
    for video in ("01_0014", "01_002", "01_0015", "01_001"):
        for crop in range(3):
            tree.array(f"sh/{video}_{crop}.npy", array(f"{video}_{crop}", 5))
    mask = np.zeros(75)
    mask[70:] = 1
    for video in ("01_0014", "01_0015"):
        tree.array(f"test_frame_mask/{video}.npy", mask)
    bank = tree.load().bank
    assert items(bank, "train")[2:4] == [("01_0014", 2, (1,)), ("01_002", 0, (0,))]
    truth = bank.truth().videos["01_0015"]
    # 75 frames in five snippets of 16: the mask's last label is repeated.
    assert (truth.frames, truth.events) == (80, (Event(70, 80, 1),))
    tree.edit("train.list", "01_0014_1.npy 1.0", "01_0014_1.npy 0.0")
    with pytest.raises(UserError, match=r"train\.list:2: label '0\.0' disagrees with the name 01_0014"):
        tree.load()


def _crops(videos: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"{video}_{crop}.npy", label) for video, label in videos.items() for crop in range(3)]


def test_umils_lists_are_lists_and_annotations_in_one(tmp_path: Path) -> None:
    counts = {"Normal": 1, "Accident": 1}
    tree = small("tad", "clip-vit-b16", tmp_path / "tad", counts, counts | {"else": 1})
    tree.text("TAD_train.txt", "frames/abnormal/01_Accident_001.mp4 0 80 1", "frames/normal/Normal_001.mp4 0 80 0")
    tree.text(
        "TAD_test.txt",
        "frames/abnormal/01_Accident_006.mp4 76 1 10 30",
        "frames/abnormal/05_else_020.mp4 80 5 0 81",
        "frames/normal/Normal_008.mp4 77 0 0 77",
    )
    for video in ("01_Accident_001", "Normal_001", "01_Accident_006", "05_else_020", "Normal_008"):
        for name in (f"{video}__0", f"{video}__1") if video in ("01_Accident_001", "Normal_001") else (video,):
            tree.array(f"clip/{name}.npy", array(name))
    report = tree.load()
    train = [
        (video, crop, label) for video, label in (("01_Accident_001", (1,)), ("Normal_001", (0,))) for crop in (0, 1)
    ]
    assert items(report.bank, "train") == train
    truth = report.bank.truth()
    assert [video.frames for video in truth.videos.values()] == [76, 80, 77]
    assert [video.labels for video in truth.videos.values()] == [(1,), (5,), (0,)]
    assert truth.videos["05_else_020"].mask().all()
    (warning,) = report.warnings
    assert "TAD_test.txt:2" in warning
    tree.edit("TAD_test.txt", "05_else_020.mp4 80 5", "05_else_020.mp4 80 4")
    with pytest.raises(UserError, match=r"TAD_test\.txt:2: class '4' disagrees with the list, which says else"):
        tree.load()


def test_msad_with_its_csv_of_anomalies(tmp_path: Path) -> None:
    train = {"Normal": 1, "Traffic_accident": 1}
    tree = small("msad", "i3d-2048", tmp_path / "msad", train, {"Normal": 1, "Assault": 1})
    lists = {
        "msad-i3d": ["MSAD-I3D-training/Traffic_accident_1", "MSAD-I3D-training/MSAD_normal_frontdoor1"],
        "msad-i3d-test": ["MSAD-I3D-abnormal-testing/Assault_2", "MSAD-I3D-normal-testing/MSAD_normal_testing_1"],
    }
    for name, videos in lists.items():
        tree.text(f"{name}.list", *(f"/scratch/someone/MSAD-I3D-WS/{video}_i3d.npy" for video in videos))
        for video in videos:
            tree.array(f"{video}_i3d.npy", array(video, 5, 10, WIDTH))
    tree.text(
        "anomaly_annotation.csv",
        "name,scenario,total frames,starting frame of anomaly,ending frame of anomaly",
        "Traffic_accident_1,highway,90,1,90",
        "Assault_2,shop,75,55,75",
    )
    truth = tree.load().bank.truth()
    assert truth.videos["Assault_2"].events == (Event(54, 75, 1),)
    assert [video.frames for video in truth.videos.values()] == [80, 80]
    tree.edit("anomaly_annotation.csv", "Assault_2,shop,75,55,75", "Assault_2,shop,7500,55,75")
    with pytest.raises(
        UserError, match=r"anomaly_annotation\.csv:3: 7500 frames of Assault_2 do not fit its 5 snippets"
    ):
        tree.load()


MASKED = {
    "shanghaitech": ("shanghai-i3d-train-10crop", "shanghai-i3d-test-10crop", "01_0014 01_002", "01_0015 01_001"),
    "ucsd-ped2": ("ped2-i3d", "ped2-i3d-test", "Test002 Train007", "Test001 Train001"),
    "ubnormal": (
        *("train", "test", "abnormal_scene_1_scenario_1 normal_scene_1_scenario_1"),
        "abnormal_scene_3_scenario_2 normal_scene_3_scenario_4",
    ),
    "cuhk-avenue": ("train", "cuhk-i3d-test", "train_01", "01"),
}


@pytest.mark.parametrize("card", MASKED)
def test_sets_with_frame_masks(tmp_path: Path, card: str) -> None:
    *lists, train, test = (words.split() for words in MASKED[card])
    suffix = "" if card == "cuhk-avenue" else "_i3d"
    normal = {"Normal": 1}
    counts = (normal, {"Anomaly": 1}) if card == "cuhk-avenue" else (normal | {"Anomaly": 1},) * 2
    tree = small(card, "i3d-2048", tmp_path / card, *counts)
    assert tree.card.annotations is not None
    for name, videos in zip(lists, (train, test), strict=True):
        tree.text(f"{name[0]}.list", *(f"./save/{video}{suffix}.npy" for video in videos))
        for video in videos:
            tree.array(f"i3d/{video}{suffix}.npy", array(video, 3, 10, WIDTH))
    for video in (train[0], test[0]):
        if not video.startswith("train"):
            tree.array(f"{tree.card.annotations.path}/{video}.npy", np.repeat([0, 1], [20, 20]))
    bank = tree.load().bank
    assert len(bank.split("train").items) == 10 * len(train)
    truth = bank.truth().videos[test[0]]
    assert (truth.frames, truth.events, truth.labels) == (48, (Event(20, 48, 1),), (1,))


def test_crops_can_be_chosen(tmp_path: Path) -> None:
    tree = hlnet(tmp_path / "xd", "i3d-1024", 5)
    chosen = {"train": frozenset({0, 3}), "test": frozenset({4})}
    bank = import_features(tree.card, None, tree.root, quiet, chosen).bank  # type: ignore[arg-type]
    assert [item.crop for item in bank.split("train").items] == [0, 3, 0, 3]
    assert [item.crop for item in bank.split("test").items] == [4, 4]
    np.testing.assert_array_equal(bank.split("test").item_features(0), array(f"{XD_TEST[0]}__4"))
    stacked = ucf(tmp_path / "ucf", "i3d-2048")
    for split, videos in (("ucf-i3d", UCF_TRAIN), ("ucf-i3d-test", UCF_TEST)):
        stacked.text(f"{split}.list", *(f"{video}_i3d.npy" for video in videos))
        for video in videos:
            stacked.array(f"{video}_i3d.npy", array(video, 5, 10, WIDTH))
    one = {**ALL_CROPS, "test": frozenset({7})}
    bank = import_features(stacked.card, None, stacked.root, quiet, one).bank
    assert len(bank.split("train").items) == 20
    np.testing.assert_array_equal(bank.split("test").item_features(0), array(UCF_TEST[0], 5, 10, WIDTH)[:, 7])
    with pytest.raises(UserError, match=r"rgb\.list:1: there is no crop 7; the list has 0, 1, 2, 3, 4"):
        import_features(tree.card, None, tree.root, quiet, {**ALL_CROPS, "train": frozenset({7})})


def test_a_plain_list_needs_labels_or_names_that_say_them(tmp_path: Path) -> None:
    tree = ucf_tree(tmp_path / "ucf")
    tree.change(splits=tree.card.model_dump()["splits"] | {"test": {"list": "test.list", "videos": 3}})
    videos = {"Normal/Normal_Videos_003_x264": "Normal", "Abuse/Abuse028_x264": "1", "Arrest/Arrest001_x264": "2.0"}
    tree.text("test.list", *(f"{STALE}/{video}__5.npy {label}" for video, label in videos.items()))
    assert [video.labels for video in tree.load().bank.truth().videos.values()] == [(0,), (1,), (2,)]
    tree.edit("test.list", "Abuse028_x264__5.npy 1", "Abuse028_x264__5.npy")
    with pytest.raises(UserError, match=r"test\.list:2: no label, and the card of small-ucf has no `name_label`"):
        tree.load()
