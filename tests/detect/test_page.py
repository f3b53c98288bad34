"""The pages of detections in Chromium: player, curve and events, on a wide and a narrow screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import chromium, needs_chromium
from tests.detect.conftest import Demo

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright")
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(params=[1280, 390])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page; whatever it writes to the console, throws, or asks of a network fails the test."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("request", lambda asked: trouble.append(asked.url) if asked.url.startswith("http") else None)
    yield opened
    context.close()
    assert trouble == []


def test_the_overview_leads_to_every_video(demo: Demo, page: Page) -> None:
    page.goto((demo.out / "detections" / "index.html").as_uri())
    assert page.locator("li h2 a").all_inner_texts()[:2] == ["unseen-01", "unseen-03"]  # the highest peaks first
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.locator("li h2 a").first.click()
    assert page.locator("h1").inner_text() == "unseen-01"


def test_a_video_plays_beside_its_curve(demo: Demo, page: Page) -> None:
    index = [each.video for each in demo.found.detections].index("unseen-01")
    page.goto((demo.out / "detections" / f"video-{index + 1:04d}.html").as_uri())
    page.wait_for_function("document.getElementById('player').readyState >= 1")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = demo.found.detections[index]
    assert page.evaluate("document.getElementById('player').duration") == pytest.approx(
        found.edges[-1] / found.fps, 0.05
    )
    assert page.evaluate("document.querySelector('.events img').naturalWidth") > 50
    page.locator("[data-seek]").first.click()
    page.wait_for_function("document.getElementById('player').currentTime > 1")
    peak = found.events[0].peak / found.fps
    assert page.evaluate("document.getElementById('player').currentTime") == pytest.approx(peak, abs=0.1)
    page.wait_for_function(f"Number(document.getElementById('score').textContent) > {found.events[0].score - 0.01}")
    box = page.locator("#curve svg").bounding_box()
    assert box is not None
    page.locator("#curve svg").click(position={"x": 2, "y": box["height"] / 2})
    page.wait_for_function("document.getElementById('player').currentTime < 0.5")
