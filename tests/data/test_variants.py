"""Named protocols of a card: other readings of the same annotations, and vectors that others evaluate with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.bank import Bank
from harness.data.cards import find_card, open_bank
from harness.data.compare import compare_truth
from harness.data.hf import export_bank, import_exported
from harness.data.verify import describe, verify
from harness.errors import UserError
from tests.data.trees import Tree, content, mask_tree, ucf_tree

Call = Callable[..., tuple[int, str, str]]
COUNTED = "counted.txt"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Test videos of 5, 6 and 7 snippets, whose frames only the annotation file of the variants counts."""
    tree = ucf_tree(tmp_path / "ucf")
    tree.change(
        protocol={
            "variants": {
                "exact": {"rule": "exact", "annotations": COUNTED, "interval": "one-based"},
                "padded": {"rule": "padded", "annotations": COUNTED, "interval": "closed", "frames": 288},
                "whole": {"rule": "whole", "annotations": COUNTED},
            }
        }
    )
    tree.text(
        COUNTED,
        "Testing_Normal_Videos_Anomaly/Normal_Videos_003_x264.mp4 80 Normal -1 -1 -1 -1",
        "Abuse/Abuse028_x264.mp4 95 Abuse 16 40 -1 -1",
        "Arrest/Arrest001_x264.mp4 97 Arrest 8 20 50 97",
    )
    return tree


def test_each_protocol_has_its_own_frames_and_bounds(tree: Tree) -> None:
    bank = tree.load().bank
    assert bank.variants == ("exact", "padded", "whole")
    frames = {name: [v.frames for v in Bank(bank.path, name).truth().videos.values()] for name in bank.variants}
    assert frames == {"exact": [80, 95, 97], "padded": [80, 96, 112], "whole": [80, 80, 96]}
    first = {name: Bank(bank.path, name).truth().videos["Abuse028_x264"].events[0] for name in bank.variants}
    assert {name: (event.start, event.end) for name, event in first.items()} == {
        "exact": (15, 40),
        "padded": (16, 41),
        "whole": (16, 40),
    }
    assert verify(bank) == []


def test_a_result_says_which_by_the_name_of_the_data_set(tree: Tree) -> None:
    bank = tree.load().bank
    card = find_card(f"{tree.write_card()}@exact")
    assert (card.name, card.base_name, card.settings_family, card.frame_rule) == (
        *("small-ucf@exact", "small-ucf", "small-ucf"),
        "exact",
    )
    opened = open_bank(card, None)
    assert opened.truth().dataset == "small-ucf@exact"
    assert opened.card.digest == card.digest != bank.card.digest
    assert opened.content_hash != bank.content_hash
    assert opened.split("test").items == bank.split("test").items


def test_the_card_itself_stays_what_it_was_without_variants(tree: Tree) -> None:
    bank = tree.load().bank
    before = (bank.card.digest, bank.content_hash)
    tree.change(protocol={"variants": {}})
    bank = tree.load().bank
    assert (bank.card.digest, bank.content_hash) == before


def test_a_variant_that_cannot_be_built_says_why_when_it_is_used(tree: Tree, harness: Call) -> None:
    (tree.root / COUNTED).unlink()
    assert tree.load().bank.variants == ()
    card = tree.write_card()
    with pytest.raises(UserError, match=r"small-ucf@whole was not built.*no counted\.txt here.*import it again"):
        open_bank(find_card(f"{card}@whole"), None)
    with pytest.raises(UserError, match=r"no protocol variant 'half'; it has exact, padded, whole"):
        find_card(f"{card}@half")
    code, _, stderr = harness("data", "import", f"{card}@whole", "--root", str(tree.root))
    assert code == 2
    assert "is a variant; `harness data import small-ucf`" in stderr


def test_expected_counts_hold_for_a_variant_too(tree: Tree) -> None:
    tree.edit(COUNTED, "Arrest001_x264.mp4 97", "Arrest001_x264.mp4 113")
    assert tree.load().bank.variants == ("exact", "whole")


def test_export_and_import_keep_the_variants(tree: Tree, tmp_path: Path) -> None:
    bank = tree.load().bank
    before, described = content(bank), describe(bank)
    export_bank(bank, tmp_path / "exported")
    again = import_exported(tmp_path / "exported", tree.card)
    assert content(again) == before
    assert describe(again) == described
    assert described["variants"] == {"exact": True, "padded": True, "whole": True}


def _save(path: Path, bank: Bank, variant: str, order: list[int]) -> Path:
    videos = list(Bank(bank.path, variant).truth().videos.values())
    np.save(path, np.concatenate([videos[i].mask() for i in order]).astype(np.float64))
    return path


def test_verify_against_a_vector_names_its_convention(tree: Tree, harness: Call, tmp_path: Path) -> None:
    bank = tree.load().bank
    vector = _save(tmp_path / "gt-ucf.npy", bank, "padded", [1, 2, 0])
    code, stdout, _ = harness("data", "verify", tree.write_card(), "--against", str(vector))
    assert code == 0
    assert "gt-ucf.npy: 288 labels" in stdout
    assert "small-ucf@padded, frames, abnormal first, lengths as they are: 288 labels, 0 videos differ" in stdout


def test_verify_against_a_vector_names_the_videos_that_differ(tree: Tree, harness: Call, tmp_path: Path) -> None:
    bank = tree.load().bank
    labels = np.load(_save(tmp_path / "gt.npy", bank, "exact", [0, 1, 2]))
    labels[80 + 90 : 80 + 95] = 1
    np.save(tmp_path / "gt.npy", labels)
    code, stdout, _ = harness("data", "verify", tree.write_card(), "--against", str(tmp_path / "gt.npy"))
    assert code == 1
    assert "1 videos differ" in stdout
    assert "Abuse028_x264: 95 labels, 25 positive, theirs 30; 5 differ from 90 on" in stdout


def test_a_vector_of_snippets_and_one_of_no_known_length(tree: Tree) -> None:
    bank = tree.load().bank
    masks = [video.mask() for video in bank.truth().videos.values()]
    by_first = np.concatenate([mask[::16] for mask in masks])
    assert compare_truth(bank, by_first).convention.startswith("small-ucf, snippets by their first frame")
    longer = np.concatenate([*masks, np.zeros(7, bool)])
    found = compare_truth(bank, longer)
    assert (found.fits, found.differences, found.rest) == (False, (), (7, 0))


def test_masks_go_on_to_the_end_of_the_last_snippet(tmp_path: Path) -> None:
    tree = mask_tree(tmp_path / "masks")
    tree.change(protocol={"variants": {"padded": {"rule": "padded"}, "whole": {"rule": "whole"}}})
    bank = tree.load().bank
    video = Bank(bank.path, "padded").truth().videos["02_0015"]
    assert (video.frames, int(video.mask().sum())) == (64, 7 + 34)
    video = Bank(bank.path, "whole").truth().videos["02_0015"]
    assert (video.frames, int(video.mask().sum())) == (48, 7 + 18)


@pytest.mark.parametrize("name", ["gt_segment.npy", "gt_label_ucf.npy"])
def test_pickled_ground_truth_is_refused_and_the_annotations_offered(
    name: str, shared: Path, tree: Tree, harness: Call
) -> None:
    tree.load()
    vector = shared / "real" / "lists" / name
    code, _, stderr = harness("data", "verify", tree.write_card(), "--against", str(vector))
    assert code == 2
    (line,) = stderr.splitlines()
    for part in (name, "pickled", "refused", "harness data import", "annotation"):
        assert part in line


def test_a_vector_of_other_values_is_refused(tree: Tree, harness: Call, tmp_path: Path) -> None:
    tree.load()
    for wrong in (np.arange(4), np.zeros((2, 3)), np.array([0.0, np.nan])):
        np.save(tmp_path / "gt.npy", wrong)
        code, _, stderr = harness("data", "verify", tree.write_card(), "--against", str(tmp_path / "gt.npy"))
        assert code == 2
        assert "gt.npy: expected a vector of 0 and 1" in stderr


def test_crops_are_chosen_and_shown(tree: Tree, harness: Call) -> None:
    card = tree.write_card()
    code, stdout, stderr = harness(
        "data", "import", card, "--root", str(tree.root), "--crops", "1", "--test-crops", "all"
    )
    assert code == 0, stderr
    assert "crops: train 1; test 5" in stdout
    assert "frames of a test video: snippets; other protocols: exact, padded, whole" in stdout
    for option, value in (("--crops", "7"), ("--crops", "one"), ("--test-crops", "0")):
        code, _, stderr = harness("data", "import", card, "--root", str(tree.root), option, value)
        assert code == 2
        assert "crop" in stderr.splitlines()[-1]
