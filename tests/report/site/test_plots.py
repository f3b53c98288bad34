from __future__ import annotations

import itertools
import random

import pytest

from harness.plugin import MethodCard
from harness.report.site.citation import bibtex
from harness.report.site.labels import COLUMN, LINE, LONGEST, Named, box, in_column, labelled, meet
from harness.report.site.links import slug
from harness.report.site.plots import LEFT, Axis, Plot, Series


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Axis("x", 0, 1), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Axis("x", 0.2, 0.31), ["0.20", "0.22", "0.24", "0.26", "0.28", "0.30"]),
        (Axis("x", 0, 12), ["0", "2", "4", "6", "8", "10", "12"]),
        (Axis("x", 9e4, 2e8, log=True), ["100k", "1M", "10M", "100M"]),
        (Axis("x", 40, 90, log=True), ["50"]),
    ],
)
def test_ticks_are_round_and_inside(axis: Axis, texts: list[str]) -> None:
    assert [text for _, text in axis.ticks()] == texts
    assert all(axis.low <= value <= axis.high for value, _ in axis.ticks())


def test_an_axis_around_one_value_has_room() -> None:
    axis = Axis.around("x", [3.0])
    assert axis.low < 3 < axis.high
    assert 0 < Axis.around("x", []).share(1.0) < 1


def test_places() -> None:
    plot = Plot("t", "n", Axis("x", 0, 10), Axis("y", 0, 1), (Series("a", ((0, 0), (10, 1)), 0),))
    assert plot.place(0, 1)[0] == LEFT
    assert plot.line([(0, 0)]) == "{:g},{:g}".format(*plot.place(0, 0))


def test_every_point_is_named_and_no_name_lies_on_another_or_on_a_point() -> None:
    area = (50.0, 10.0, 750.0, 450.0)
    draw = random.Random(0)
    points = [Named(400 + 5 * i, 230 + 3 * i, f"a rather long name, number {i}", i < 4) for i in range(6)]
    points += [Named(300, 400, "方法" * 20), Named(749, 11, "in a corner"), Named(51, 449, "in another")]
    beside = labelled(points, area)
    crowd = [Named(draw.gauss(300, 4), draw.gauss(230, 4), f"a rather long name, number {i}") for i in range(40)]
    assert labelled(crowd, area) is None, "then they stand in a column"
    column = in_column(crowd, 500, 10, 10 + 40 * LINE)
    assert beside is not None
    assert any(label.lead for label in beside), "not all have room beside their points"
    for named, labels, left, right in ((points, beside, 50, 750), (crowd, column, 500, 500 + COLUMN)):
        assert [label.name for label in labels] == [point.name for point in named]
        boxes = [box(label) for label in labels]
        assert not any(meet(one, other) for one, other in itertools.combinations(boxes, 2))
        dots = [(point.x - 4.5, point.y - 4.5, point.x + 4.5, point.y + 4.5) for point in named]
        assert not any(meet(one, dot) for one in boxes for dot in dots)
        assert all(left <= each[0] and each[2] <= right for each in boxes)
        assert len({label.text for label in labels}) == len(named), "also of names that were cut"
        assert all(each[2] - each[0] <= 1.2 * LONGEST for each in boxes)


def test_file_names_are_safe_and_tell_names_apart() -> None:
    assert slug("vadclip-toy_1.0") == "vadclip-toy_1.0"
    assert slug("../etc") != slug("..-etc")
    assert all(c.isalnum() or c in "-._" for c in slug("</script> 方法"))
    assert slug("方") != slug("法")
    assert slug("方")


def test_a_citation_names_nobody_the_card_does_not() -> None:
    card = MethodCard(name="x", title="X", family="mil", paper="A & {B}", venue="TIP", year=2024, arxiv="1.2")
    assert bibtex(card) == (
        "@article{x2024,\n  title = {{A \\& B}},\n  journal = {TIP},\n  year = {2024},\n  eprint = {1.2},\n"
        "  archivePrefix = {arXiv}\n}"
    )
    assert bibtex(card.model_copy(update={"paper": ""})) == ""
