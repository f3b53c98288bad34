from __future__ import annotations

import pytest

from harness.plugin import MethodCard
from harness.report.site.citation import bibtex
from harness.report.site.links import slug
from harness.report.site.plots import LEFT, Axis, Plot, Series, labelled


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


def test_places_and_labels() -> None:
    plot = Plot("t", "n", Axis("x", 0, 10), Axis("y", 0, 1), (Series("a", ((0, 0), (10, 1)), 0),))
    assert plot.place(0, 1)[0] == LEFT
    assert plot.line([(0, 0)]) == "{:g},{:g}".format(*plot.place(0, 0))
    crowded = [(5.0, 0.5, f"a rather long name {index}") for index in range(30)]
    shown = list(labelled(plot, crowded))
    assert 0 < len(shown) < 30, "what has no room is left out"


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
