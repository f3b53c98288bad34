"""The site of a repository, in files and in a real browser: names of strangers, search, details, axe-core."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.boards import site
from harness.boards.record import Record, arrays_bytes
from harness.boards.repository import Repository
from harness.boards.reruns import Rerun
from harness.boards.site import write_site
from tests.boards.conftest import Harness
from tests.boards.field import Field, statement
from tests.browser import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "</script><img src=x onerror=alert(1)>|`*\"'{{ 7*7 }} 方法 " + "long" * 30
ROWS = 7


@pytest.fixture(scope="module")
def written(made_field: Field, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a board longer than a page, one of whose teams has a hostile name, with claims and a rerun."""
    place = tmp_path_factory.mktemp("site")
    shutil.copytree(made_field.repository, place / "repository")
    repository = Repository(place / "repository")
    first, *_ = records = list(repository.records())
    arrays = repository.arrays(first)
    for number in range(ROWS):
        name = f"{number:016x}"
        said = statement(HOSTILE if number == 0 else f"Team {number}", note="two\nlines", link="https://example.org/x")
        (row,) = first.rows
        if number == 1:
            row = row.model_copy(
                update={"verified": False, "badges": (), "division": "open", "reasons": (HOSTILE[:99],)}
            )
        changes = {"id": name, "sha256": name * 4, "statement": said, "rows": (row,), "verified": number != 1}
        record = Record.model_validate(first.model_copy(update=changes).model_dump())
        repository.record_path(name).write_bytes(record.to_bytes())
        repository.arrays_path(name).write_bytes(arrays_bytes(arrays))
    again = Rerun(
        **{"format": 1, "id": first.id, "row": 0, "outcome": "reproduced", "words": "all scores are equal bit for bit"},
        **{"metric": "frame_auc", "recorded": {0: 0.5}, "found": {0: 0.5}, "difference": 0.0, "reach": 0.0},
        **{"equal_bits": 1, "recorded_code": first.rows[0].code, "code": "0" * 64, "machine": {}, "by": "somebody"},
    )
    (repository.directory / "reruns" / f"{first.id}-1.json").write_bytes(again.to_bytes())
    assert len(records) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site, "SHOWN", 4)
        write_site(repository, place / "out", "https://example.org/raw/")
    return place / "out"


def board(written: Path, division: str = "closed") -> Path:
    return next((written / "boards").glob(f"*-{division}-*.html"))


def test_files_name_strangers_as_text_and_go_when_they_are_of_no_use(
    written: Path, field: Field, tmp_path: Path
) -> None:
    for path in written.rglob("*"):
        if path.suffix in (".html", ".js") and "assets" not in path.parts:
            text = path.read_text()
            assert "<img" not in text
            assert "49 方法" not in text
    page = board(written).read_text()
    assert page.count("<tr") == 1 + 4
    assert ">=1</td>" in page
    repository = Repository(field.repository)
    shutil.copytree(written, tmp_path / "site")
    write_site(repository, tmp_path / "site")
    assert not list((tmp_path / "site" / "boards").glob("*-open-*"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*") if path.is_file()}
    write_site(repository, tmp_path / "site")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*") if path.is_file()}


def test_an_empty_repository_has_a_page(tmp_path: Path, harness: Harness) -> None:
    assert harness("board", "init", str(tmp_path / "r"), "--datasets", "demo")[0] == 0
    code, out, err = harness("board", "site", str(tmp_path / "r"), "--out", str(tmp_path / "s"))
    assert (code, out) == (0, f"wrote {tmp_path}/s/index.html\n"), err
    assert "Nothing has been handed in yet" in (tmp_path / "s" / "index.html").read_text()
    code, _, err = harness("board", "site", str(tmp_path / "s"), "--out", str(tmp_path / "x"))
    assert (code, "board.yaml: no such file" in err) == (2, True)


@needs_chromium
def test_search_filter_order_and_the_rows_beyond_the_first(written: Path, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(board(written).as_uri())
    rows, shown = page.locator("#table tbody tr"), page.locator(".shown")
    total = ROWS - 1 + 2
    assert (rows.count(), shown.inner_text()) == (4, f"4 of {total} rows")
    page.get_by_role("button", name="Show more rows").click()
    expect(rows).to_have_count(total)
    expect(shown).to_have_text(f"{total} of {total} rows")
    assert not page.get_by_role("button", name="Show more rows").is_visible()
    page.get_by_label("Find").fill("TEAM 5")
    expect(rows).to_have_count(1)
    expect(shown).to_have_text(f"1 of {total} rows")
    page.get_by_label("Find").fill("方法")
    expect(rows).to_have_count(1)
    page.get_by_label("Find").fill("")
    page.get_by_label("Badge").select_option("rerun-verified")
    expect(rows).to_have_count(1)
    page.get_by_label("Badge").select_option("")
    page.get_by_label("Order").select_option(index=1)
    expect(rows).to_have_count(4)


@needs_chromium
def test_a_submission_in_detail(written: Path, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(board(written, "open").as_uri())
    page.get_by_role("link", name="Team 1Net").click()
    expect(page.locator("#submission h1")).to_have_text("Team 1Net")
    text = page.locator("#submission").inner_text()
    assert "claimed, not verified" in text
    assert "In the open division because:" in text
    assert HOSTILE[:99].strip() in text
    assert "two\nlines" in text
    # The address alone is enough, and another one in the same page.
    page.evaluate("location.hash = '0000000000000000'")
    expect(page.locator("#submission h1")).to_contain_text("<img src=x")
    links = page.eval_on_selector_all("#submission a", "links => links.map(link => link.href)")
    assert f"https://example.org/raw/submissions/{'0' * 16}.zip" in links
    page.evaluate("location.hash = '0000000000000fff'")
    expect(page.locator("#submission .lead")).to_have_text("There is no such submission.")


@needs_chromium
def test_no_page_is_wider_than_the_screen_and_axe_finds_nothing(written: Path, page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    name = next(path.stem for path in (written / "data" / "submissions").iterdir() if path.stem != "00")
    rest = (written / "data" / "submissions" / f"{name}.js").read_text().partition(f'"{name}')[2][:14]
    addresses = [
        (written / "index.html").as_uri(),
        board(written).as_uri(),
        f"{(written / 'submission.html').as_uri()}#{name}{rest}",
        f"{(written / 'submission.html').as_uri()}#{'0' * 16}",
    ]
    for address in addresses:
        page.goto("about:blank")
        page.goto(address)
        for width in (1280, 768, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
        # Both themes where a page has colours of its own.
        for scheme in ("light", "dark") if "boards/" in address else ("dark",):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            # Without a preload axe asks for no file, which the pages' policy would refuse.
            found = axe.run(page, options={"preload": False}).response["violations"]
            assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
