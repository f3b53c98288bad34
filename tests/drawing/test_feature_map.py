"""Maps of features: which rows are shown, what a layer gets, and that labels only colour."""

from __future__ import annotations

from typing import Literal
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from harness.drawing.feature_map import draw_map, on_a_plane
from harness.drawing.learned import learned_snippets
from harness.drawing.snippets import given_snippets
from harness.errors import UserError
from harness.plugin import Prediction, Task
from harness.records.alignment import Alignment
from harness.records.truth import Event, GroundTruth, VideoTruth
from tests.tiny import Tiny, TinyConfig, split, task

SVG = "{http://www.w3.org/2000/svg}"
LENGTHS = [5, 9, 4, 7]


def test_rows_are_features_of_snippets_that_a_seed_draws() -> None:
    given = split(LENGTHS, crops=2)
    every = given_snippets(given, most=1000)
    assert len(every.videos) == sum(LENGTHS), "one crop of each video"
    some, again, other = (given_snippets(given, 10, seed) for seed in (0, 0, 1))
    assert some.numbers.tolist() == again.numbers.tolist()
    assert (some.videos, some.numbers.tolist()) != (other.videos, other.numbers.tolist())
    first = {item.video: index for index, item in reversed(list(enumerate(given.items)))}
    for row, video, number in zip(some.rows, some.videos, some.numbers, strict=True):
        assert np.array_equal(row, given.item_features(first[video], number, number + 1)[0])


class TwoLayers(Tiny):
    """A method whose last layer gets the hidden rows of another."""

    def __init__(self, config: TinyConfig, of: Task) -> None:
        super().__init__(config, of)
        self.hidden = torch.nn.Linear(self.task.dim, 3)
        self.last = torch.nn.Linear(3, 1)

    def predict(self, features: torch.Tensor, lengths: torch.Tensor) -> Prediction:
        return Prediction(torch.sigmoid(self.last(torch.relu(self.hidden(features))))[..., 0])


@pytest.mark.parametrize("window", [None, 4])
def test_learned_rows_are_what_the_last_layer_gets(window: int | None) -> None:
    given = split(LENGTHS)
    torch.manual_seed(0)
    method = TwoLayers(TinyConfig(window=window), task(given.features.shape[1]))
    found, plain = learned_snippets(method, given, 12), given_snippets(given, 12)
    assert found.what == "3-d input of last"
    assert (found.videos, found.numbers.tolist()) == (plain.videos, plain.numbers.tolist())
    with torch.inference_mode():
        expected = torch.relu(method.hidden(torch.from_numpy(plain.rows))).numpy()
    assert np.allclose(found.rows, expected, atol=1e-6)
    assert not method.last._forward_pre_hooks


class NoLayers(Tiny):
    """A method that pools its video before any layer."""

    def predict(self, features: torch.Tensor, lengths: torch.Tensor) -> Prediction:
        return Prediction(torch.sigmoid(self.score(features.mean(dim=1))).expand(features.shape[:2]))


def test_a_method_without_such_a_layer_says_so() -> None:
    given = split(LENGTHS)
    with pytest.raises(UserError, match="has no layer with one row per snippet; leave out --learned"):
        learned_snippets(NoLayers(TinyConfig(), task(given.features.shape[1])), given, 12)


@pytest.mark.parametrize("how", ["pca", "tsne"])
def test_what_lies_apart_lies_apart_on_the_map(how: Literal["tsne", "pca"]) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    rows[:20] += 12
    places = on_a_plane(rows, how)
    assert places.shape == (60, 2)
    centres = [places[:20].mean(axis=0), places[20:].mean(axis=0)]
    away = np.linalg.norm(places - centres[0], axis=1) < np.linalg.norm(places - centres[1], axis=1)
    assert away.tolist() == [True] * 20 + [False] * 40
    assert np.array_equal(places, on_a_plane(rows, how))
    with pytest.raises(UserError, match="at least four snippets"):
        on_a_plane(rows[:3], how)


@pytest.mark.parametrize("colour", ["truth", "class"])
def test_labels_colour_the_points(colour: Literal["truth", "class"]) -> None:
    given = given_snippets(split(LENGTHS), 1000)
    names = list(dict.fromkeys(given.videos))
    videos = {name: VideoTruth(16 * length, (0,)) for name, length in zip(names, LENGTHS, strict=True)}
    videos[names[1]] = VideoTruth(16 * 9, (1,), (Event(0, 40, 1),))  # three snippets
    videos[names[3]] = VideoTruth(16 * 7, (2,), (Event(80, 96, 2),))  # one
    truth = GroundTruth("toy", ("Normal", "Fire", "Fight"), Alignment(kind="stride"), videos)
    places = given.rows[:, :2]
    drawn = ElementTree.fromstring(draw_map(given, places, truth, colour, "places").svg())
    colours = [each.get("fill") for each in drawn.iter(f"{SVG}circle") if each.get("r") == "1.3"]
    counts = sorted((colours.count(each) for each in set(colours)), reverse=True)
    assert counts == ([12, 9, 4] if colour == "truth" else [12, 9, 3, 1])
    texts = {each.text for each in drawn.iter(f"{SVG}text")}
    assert texts >= {
        "normal video",
        "abnormal video, no event",
        *(["event"] if colour == "truth" else ["Fire", "Fight"]),
    }


def test_events_are_found_where_rows_share_a_video_evenly() -> None:
    given = given_snippets(split(LENGTHS), 1000)
    names = list(dict.fromkeys(given.videos))
    videos = {name: VideoTruth(100, (0,)) for name in names}
    videos[names[0]] = VideoTruth(100, (1,), (Event(40, 60, 1),))  # five rows of twenty frames: the third
    truth = GroundTruth("toy", ("Normal", "Fire"), Alignment(kind="segments"), videos)
    drawn = ElementTree.fromstring(draw_map(given, given.rows[:, :2], truth, "truth", "places").svg())
    colours = [each.get("fill") for each in drawn.iter(f"{SVG}circle") if each.get("r") == "1.3"]
    assert sorted(colours.count(each) for each in set(colours)) == [1, 4, sum(LENGTHS[1:])]
