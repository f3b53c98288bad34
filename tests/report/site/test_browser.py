"""The site in a real browser, from disk and without a network: what a reader does with it, and what axe-core says."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag
from xml.etree import ElementTree

import numpy as np
import pytest

from harness.records.predictions import Predictions
from tests.browser import needs_chromium
from tests.report.conftest import HOSTILE, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("playwright")
pytestmark = needs_chromium


def url(site: Site, pattern: str) -> str:
    return next(iter(sorted(site.directory.glob(pattern)))).as_uri()


def test_every_link_leads_somewhere_and_every_page_is_reached(site: Site, page: Page) -> None:
    waiting, seen = [(site.directory / "index.html").as_uri()], set[str]()
    while waiting:
        address = waiting.pop()
        if address in seen:
            continue
        seen.add(address)
        if not address.endswith(".html"):
            continue
        page.goto(address)
        assert page.locator("h1").count() == 1
        links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
        targets = [urldefrag(link) for link in links]
        for target, fragment in targets:
            assert target.startswith(site.directory.as_uri()), target
            assert not fragment or target != address or page.locator(f"#{fragment}").count() == 1
        waiting += [target for target, _ in targets]
    reached = {unquote(address) for address in seen}
    assert {unquote(path.as_uri()) for path in site.pages} <= reached
    assert all((site.directory / f"leaderboard.{name}").as_uri() in seen for name in ("md", "csv", "json", "tex"))


def names(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "#table tbody tr:not([hidden]) .method", "cells => cells.map(cell => cell.dataset.value)"
    )
    return found


def test_sort_and_filter_by_mouse_and_keyboard(site: Site, page: Page) -> None:
    page.goto(url(site, "boards/toy*.html"))
    start = names(page)
    head = page.locator("#table thead th").filter(has_text="Method")
    head.get_by_role("button").click()
    assert names(page) == sorted(start, key=str.lower)
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page) == sorted(start, key=str.lower, reverse=True)

    page.locator("[data-filter=selection]").select_option("oracle")
    assert names(page) == ["VadCLIP"]
    assert page.locator(".shown").inner_text() == f"1 of {len(start)} rows"
    page.locator("[data-filter=selection]").select_option("")
    page.locator("[data-filter=seeds]").select_option("2")
    assert HOSTILE not in names(page)
    assert len(names(page)) == len(start) - 1
    page.locator("[data-filter=seeds]").select_option("")
    page.get_by_label("Find").fill("RTf")
    assert names(page) == ["RTFM"]
    hidden = page.locator("#table th.more").first
    assert not hidden.is_visible()
    page.get_by_label("all 2").check()
    assert hidden.is_visible()


def test_choose_videos_and_methods_of_the_timeline(site: Site, page: Page) -> None:
    page.goto(url(site, "boards/toy*.html"))
    from playwright.sync_api import expect

    facts = page.locator("#timeline .chosen")
    page.locator("#timeline .video").select_option(label="video_05")
    expect(facts).to_have_text("video_05: 585 frames; <!--<script>alert(2) from 195 to 292")
    page.get_by_role("button", name="Next").click()
    expect(facts).not_to_contain_text("video_05")
    strips = page.locator("#timeline .strips canvas")
    assert strips.count() == 4
    assert strips.first.bounding_box()["width"] == page.locator("#timeline .u-over").bounding_box()["width"]  # type: ignore[index]
    series = page.locator("#timeline .u-legend .u-series")
    before = series.count()
    page.locator("#chooser input").first.uncheck()
    assert series.count() == before - 1
    page.get_by_label("Axis").select_option("seconds")
    assert "seconds" in facts.inner_text()
    drawn = page.evaluate(
        """() => { const c = document.querySelector('#timeline .uplot canvas');
                   return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 0); }"""
    )
    assert drawn


def test_the_timeline_says_its_range_and_is_saved_as_svg(site: Site, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(url(site, "boards/toy*.html"))
    index = json.loads(page.locator("#timeline-data").text_content() or "")
    chosen = index["videos"][index["start"]]
    assert chosen["classes"] != ["Normal"]
    expect(page.locator("#timeline .chosen")).to_contain_text(f"{chosen['name']}: {chosen['frames']} frames")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as SVG").click()
    drawn = ElementTree.parse(saved.value.path()).getroot()
    assert saved.value.suggested_filename == f"scores-{chosen['name']}.svg"
    texts = [each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    shown = page.locator("#chooser input:checked").count()
    assert sum(any(row["name"] in text for row in index["rows"]) for text in texts) == shown
    assert {"frame", "score"} <= set(texts)
    ends = page.evaluate("[...document.querySelectorAll('#timeline .range option')].map((each) => each.value)")
    assert ends == ["fit", "unit"]


def test_the_page_of_a_run_shows_its_scores(site: Site, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(url(site, "runs/rtfm-toy-s0*.html"))
    expect(page.locator("#curves .uplot canvas")).to_have_count(2)
    facts = page.locator("#timeline .chosen")
    expect(facts).to_contain_text("frames;")
    page.locator("#timeline .video").select_option(label="video_05")
    expect(facts).to_have_text("video_05: 585 frames; <!--<script>alert(2) from 195 to 292")
    (place,) = (place for name, place in site.runs.items() if name.startswith("rtfm-toy-s0"))
    scores = Predictions.load(place / "predictions.npz")["video_05"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as SVG").click()
    path = next(
        each.get("d", "")
        for each in ElementTree.parse(saved.value.path()).getroot().iter("{http://www.w3.org/2000/svg}path")
        if "H" in each.get("d", "") and each.get("stroke-width") == "1.5"
    )
    # Places on the drawing are scores on a line.
    steps = path.replace("V", "|").replace("M", "|").split("|")[1:]
    places = np.array([float(step.partition("H")[0].split()[-1]) for step in steps])
    assert len(places) == len(scores)
    low, high = np.argmin(scores), np.argmax(scores)
    share = (places - places[low]) / (places[high] - places[low])
    assert np.allclose(share, (scores - scores[low]) / (scores[high] - scores[low]), atol=0.01)


def test_hover_a_curve_and_pick_a_confusion(site: Site, page: Page) -> None:
    page.goto(url(site, "boards/toy*.html"))
    chart = page.locator("#pictures svg.chart").first
    tip = page.locator("#pictures .tip").first
    chart.scroll_into_view_if_needed()
    assert not tip.is_visible()
    x, y, name = page.evaluate(
        """() => { const line = document.querySelector('#pictures .series[data-row]:not(.off) polyline');
                   const point = line.points[60].matrixTransform(line.getScreenCTM());
                   return [point.x, point.y, line.parentElement.dataset.name]; }"""
    )
    page.mouse.move(x, y)
    assert tip.is_visible()
    assert "false positive rate 0.6" in tip.inner_text()
    shown = page.eval_on_selector_all("#pictures .series:not(.off)", "all => all.map(each => each.dataset.name)")
    assert name in shown
    page.mouse.move(2, 2)
    assert not tip.is_visible()
    options = page.locator("#confusion option")
    assert options.count() == 5
    page.locator("#confusion").select_option(index=2)
    assert page.locator(".confusion:visible").count() == 1


def test_dark_mode_follows_the_system_and_the_switch(site: Site, page: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    page.goto((site.directory / "index.html").as_uri())
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(colour)
    assert dark != light
    page.get_by_label("Theme").select_option("light")
    assert page.evaluate(colour) == light
    page.emulate_media(color_scheme="light")
    page.get_by_label("Theme").select_option("dark")
    assert page.evaluate(colour) == dark
    page.goto(url(site, "methods/vadclip.html"))
    assert page.evaluate(colour) == dark


def test_what_counts_most_is_seen_without_scrolling_and_a_wider_table_says_so(site: Site, page: Page) -> None:
    for pattern in ("index.html", "boards/toy*.html", "boards/ucf*.html"):
        page.goto(url(site, pattern))
        region = page.locator(".scroll:has(#table)")
        edge = region.evaluate("box => box.getBoundingClientRect().right")
        heads = page.locator("#table thead th")
        ends = dict(
            heads.evaluate_all("all => all.map(th => [th.textContent.trim(), th.getBoundingClientRect().right])")
        )
        for name in ("Method", "Rank", "Frame AUC", "Frame AP", "mAP avg", "Frames/s", "Parameters"):
            assert ends[name] <= edge, (pattern, name)
        assert max(ends.values()) > edge
        hint = page.get_by_text("More to the right").first
        assert hint.is_visible()
        left = page.locator("#table tbody th").first.bounding_box()
        region.evaluate("box => { box.scrollLeft = 300; }")
        assert page.locator("#table tbody th").first.bounding_box() == left, "the first column stays"
        page.set_viewport_size({"width": 2400, "height": 900})
        page.set_viewport_size({"width": 1280, "height": 900})


def test_throughput_is_filtered_by_hardware(site: Site, page: Page) -> None:
    page.goto(url(site, "throughput.html"))
    sections = page.locator(".speed-board")
    assert sections.count() == 3
    page.get_by_label("Hardware").select_option("Test GPU")
    assert [section.is_visible() for section in sections.all()].count(True) == 1
    assert page.locator("table.speeds:visible .method").all_inner_texts()[1].startswith("DeepMIL")
    page.get_by_label("Hardware").select_option("")
    page.get_by_label("Find").fill("vadclip")
    assert page.locator(".speed-board:visible tbody tr:visible[data-row]").count() == 1


def test_names_in_the_picture_of_speed_do_not_collide(site: Site, page: Page) -> None:
    page.goto(url(site, "boards/toy*.html"))
    boxes = page.eval_on_selector_all(
        ".pareto text.name, .pareto circle",
        """all => all.map(each => { const b = each.getBBox();
                                 return [each.tagName, b.x, b.y, b.x + b.width, b.y + b.height]; })""",
    )
    assert len(boxes) == 8
    for one, other in itertools.combinations(boxes, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart or one[0] == other[0] == "circle", (one, other)


def test_nothing_moves_when_rows_or_confusions_are_chosen(site: Site, page: Page) -> None:
    page.goto(url(site, "boards/toy*.html"))
    page.wait_for_timeout(150)

    def places() -> list[float]:
        found: list[float] = page.eval_on_selector_all(
            "#pictures figure, #timeline, #classes, #confusion, .confusion, #provenance",
            "all => all.map(each => each.getBoundingClientRect().top + scrollY)",
        )
        return found

    start = places()
    for choice in page.locator("#chooser input").all():
        choice.click()
        assert places() == start
    for index in range(page.locator("#confusion option").count()):
        page.locator("#confusion").select_option(index=index)
        assert places() == start


def test_a_phone_shows_no_page_wider_than_itself_and_paper_takes_it(site: Site, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for pattern in ("index.html", "throughput.html", "boards/toy*.html", "methods/*", "runs/vadclip*"):
        page.goto(url(site, pattern))
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, pattern
        cut = """boxes => boxes.filter(box => box.querySelector('table.leaderboard, table.plain')
                  && box.scrollWidth > box.clientWidth).map(box => box.ariaLabel)"""
        assert page.eval_on_selector_all(".scroll", cut) == [], "rows are cards, not a table that is cut"
    page.goto(url(site, "throughput.html"))
    card = page.locator("table.speeds tbody tr").first.locator("td")
    labels = card.evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
    assert labels[:2] == ['"Rank"', '"Frames/s"']
    assert len(labels) == 11
    page.goto(url(site, "boards/toy*.html"))
    page.get_by_label("Sort by").select_option("Method")
    assert names(page) == sorted(names(page), key=str.lower)
    page.goto(url(site, "boards/toy*.html"))
    paper = page.pdf()
    assert paper.startswith(b"%PDF")
    assert len(paper) > 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(site: Site, page: Page, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    paths = ["index.html", "throughput.html", "boards/toy*.html", "methods/vadclip.html", "runs/vadclip-toy-s0-oracle*"]
    # On a phone tables are cards, which is another page to who hears it; colours are the same.
    phone = paths[:2] if scheme == "light" else []
    for width, pattern in [*((1280, path) for path in paths), *((390, path) for path in phone)]:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(url(site, pattern))
        page.wait_for_timeout(150)
        # Without a preload axe asks for no file, which the pages' policy would refuse.
        found = axe.run(page, options={"preload": False}).response["violations"]
        assert found == [], [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in found]
