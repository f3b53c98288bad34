"""Hostile text in every kind of file that a report writes, read back by what reads such files."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt

from harness.console import Screen
from harness.paths import report_assets_dir
from harness.printable import printable, shortened
from harness.report.quoting import bibtex_text, csv_cell, html_environment, line, md_text, script_json, tex_text
from harness.report.site import links
from tests.hostile import TEXTS, UNSHOWN, Page

every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
# How spreadsheets begin to calculate.
RUN = re.compile(r"""[\s"]*[=+\-@|\uff1d\uff0b\uff0d\uff20]""")


@every_text
def test_a_line_is_one_line_of_letters(text: str) -> None:
    for shown in (printable(text), line(text), shortened(text)):
        assert not UNSHOWN.search(shown)
        assert len(shown.splitlines()) == 1
    assert len(shortened(text)) <= 80
    assert [c for c in printable(text) if c not in "\ufffd "] == [c for c in text if c.isprintable() and c != " "]


@every_text
def test_csv(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([csv_cell(text), csv_cell(0.5), csv_cell(text)])
    (row,) = csv.reader(io.StringIO(stream.getvalue()), strict=True)
    assert row == [row[0], "0.5", row[0]]
    assert not RUN.match(row[0])
    assert row[0].removeprefix("'") == printable(text)
    assert len(stream.getvalue().splitlines()) == 1


@pytest.mark.parametrize("number", [-0.5, 3, None, True, "-0.5", "+3", "-1.5e-07", ".5", "1e9", "0123abc", "a=b"])
def test_numbers_and_plain_text_stay_as_they_are_in_csv(number: object) -> None:
    assert csv_cell(number) is number or csv_cell(number) == number


@every_text
def test_tex(text: str) -> None:
    shown = tex_text(text)
    assert not UNSHOWN.search(shown)
    assert not re.match(r"[\[*]", shown), "behind the end of a row it would be an argument"
    known = r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\$(\\pm|\\cdot|[<>|])\$|\{[\[\]*]\}"
    assert not re.search(r"[\\{}$&#_%^~]", re.sub(known, "", shown)), shown


@every_text
def test_bibtex(text: str) -> None:
    shown = bibtex_text(text)
    assert not UNSHOWN.search(shown)
    assert not re.search(r"[\\{}$&#_%^~]", re.sub(r"\\[&%$#_]|\\[\^~]\{\}", "", shown)), shown


@every_text
def test_markdown(text: str) -> None:
    shown = md_text(text)
    assert not UNSHOWN.search(shown)
    document = f"## {shown}\n\n> {shown}\n\n- {shown}\n\n| a | b |\n| --- | --- |\n| {shown} | x |\n\n{shown}\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(document)
    kinds = [token.type for token in tokens if token.nesting == 1]
    table = ["table_open", "thead_open", "tr_open", "th_open", "th_open", "tbody_open", "tr_open", "td_open", "td_open"]
    blocks = ["heading_open", "blockquote_open", "paragraph_open", "bullet_list_open", "list_item_open"]
    assert kinds == [*blocks, "paragraph_open", *table, "paragraph_open"]
    inline = [token for token in tokens if token.type == "inline" and token.content not in ("a", "b", "x")]
    assert len(inline) == 5
    for token in inline:
        parts = token.children or []
        assert {part.type for part in parts} <= {"text", "text_special"}, token.content
        assert "".join(part.content for part in parts) == line(text)


@every_text
def test_html(text: str) -> None:
    environment = html_environment(report_assets_dir())
    source = (
        '<title>{{ text }}</title><p title="{{ text }}">{{ text }}</p><svg><text>{{ text }}</text></svg>'
        '<script type="application/json">{{ data | safe }}</script><i></i>'
    )
    page_text = environment.from_string(source).render(text=text, data=script_json({"name": [text], text: 1}))
    assert not UNSHOWN.search(page_text)
    page = Page(page_text)
    assert page.tags == ["title", "p", "svg", "text", "script", "i"]
    assert page.attributes == [("title", printable(text, keep="\n\t")), ("type", "application/json")]
    assert page.text == 3 * printable(text, keep="\n\t")
    assert json.loads(page.scripts[0]) == {"name": [printable(text)], printable(text): 1}
    assert "<" not in page.scripts[0]


@every_text
@pytest.mark.parametrize("colours", [False, True], ids=["plain", "colours"])
def test_terminal(text: str, colours: bool) -> None:
    from rich.table import Table

    stream = io.StringIO()
    screen = Screen(file=stream, width=100, force_terminal=colours, no_color=not colours)
    table = Table("name", title=text)
    table.add_row(text)
    screen.print(text, style="dim", soft_wrap=True)
    screen.print(table)
    # What is left of the console's own styles.
    shown = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert not UNSHOWN.search(shown)
    first = "\n".join(shown.split("\n")[: text.count("\n") + 1])
    assert first.rstrip() == printable(text, keep="\n").rstrip()


def test_names_of_files() -> None:
    names = [*TEXTS.values(), "..", ".", "", "a/b", "a\\b", "/etc/passwd", "CON", "nul", "com1.txt", "A", "a", "Ä", "ä"]
    slugs = [links.slug(name) for name in names]
    assert len({slug.lower() for slug in slugs}) == len(names), "different on a file system that ignores capitals"
    for slug in slugs:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", slug)
        assert len(slug) < 120
        assert slug.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1")
    assert links.slug("deepmil-demo-s0-last-0123456789") == "deepmil-demo-s0-last-0123456789"
