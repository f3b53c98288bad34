"""Class maps: what predictions say in the classes of another data set."""

from __future__ import annotations

import numpy as np
import yaml

from harness.data.cards import find_card
from harness.data.class_maps import ClassMap, shared_classes, translated
from harness.paths import maps_dir
from harness.records.predictions import Predictions

UCF, XD = find_card("ucf-crime"), find_card("xd-violence")


def test_every_map_names_classes_of_its_two_sets() -> None:
    paths = list(maps_dir().glob("*.yaml"))
    assert paths
    for path in paths:
        known = ClassMap.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        one, other = map(find_card, known.sets)
        assert set(known.classes) <= set(one.class_names)
        assert set(known.classes.values()) <= set(other.class_names)
        assert len(set(known.classes.values())) == len(known.classes)
        assert known.classes[one.class_names[0]] == other.class_names[0]


def test_a_map_is_read_both_ways() -> None:
    there, back = shared_classes(UCF, XD), shared_classes(XD, UCF)
    assert there is not None
    assert back == {theirs: ours for ours, theirs in there.items()}
    assert shared_classes(UCF, find_card("ucf-crime@exact")) == {name: name for name in UCF.class_names}
    assert shared_classes(UCF, find_card("tad")) is None


def test_probabilities_move_to_the_classes_of_the_test_set() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(14), 5).astype(np.float32)
    offsets = np.array([0, 5])
    given = Predictions(("v",), offsets, probabilities[:, 1], UCF.alignment, UCF.class_names, probabilities)
    moved = translated(given, UCF, XD)
    assert moved.classes == XD.class_names
    assert moved.class_probs is not None
    np.testing.assert_array_equal(moved.class_probs[:, 1], probabilities[:, UCF.class_names.index("Fighting")])
    assert not moved.class_probs[:, XD.class_names.index("B4")].any()  # a riot has no counterpart
    np.testing.assert_array_equal(moved.scores, given.scores)
    assert translated(given, UCF, find_card("tad")).class_probs is None
