"""A drawing as SVG and as PDF: the same parts in both, and files that readers can read."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.drawing.canvas import Canvas, width_of
from harness.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def canvas() -> Canvas:
    drawn = Canvas(200, 100)
    drawn.area(10, 20, 30, 40, "#ff0000")
    drawn.line([(0, 0), (50, 25)], "#0000ff", 1.5, (4, 2))
    drawn.dot(60, 70, 3, "#00ff00")
    drawn.words(100, 50, "a (b) <c> \\ é 方", anchor="end")
    drawn.words(5, 50, "up", anchor="middle", turned=True)
    return drawn


def test_svg_holds_every_part(canvas: Canvas) -> None:
    root = ElementTree.fromstring(canvas.svg())
    (area,), (line,), (dot,) = (root.findall(f"{SVG}{name}") for name in ("rect", "polyline", "circle"))
    assert (area.get("x"), area.get("height"), area.get("fill")) == ("10", "40", "#ff0000")
    assert (line.get("points"), line.get("stroke-dasharray")) == ("0,0 50,25", "4 2")
    assert (dot.get("cx"), dot.get("r")) == ("60", "3")
    words = root.findall(f"{SVG}text")
    assert [each.text for each in words] == ["a (b) <c> \\ é 方", "up"]
    assert words[1].get("transform") == "rotate(-90 5 50)"


def test_pdf_is_whole_and_holds_every_part(canvas: Canvas) -> None:
    found = canvas.pdf()
    assert found.startswith(b"%PDF-1.4\n")
    assert found.endswith(b"%%EOF\n")
    table = int(re.search(rb"startxref\n(\d+)\n", found)[1])  # type: ignore[index]
    assert found[table:].startswith(b"xref\n0 6\n")
    places = [int(line[:10]) for line in found[table:].split(b"\n")[3:8]]
    assert [found[place:].split(b"\n")[0] for place in places] == [f"{n} 0 obj".encode() for n in range(1, 6)]
    stream = re.search(rb"/Length (\d+) .*?stream\n", found, re.DOTALL)
    assert stream is not None
    content = zlib.decompress(found[stream.end() : stream.end() + int(stream[1])]).decode("cp1252").split("\n")
    assert content[0] == "1 0 0 rg 10 40 30 40 re f"
    assert content[1] == "0 0 1 RG 1.5 w [4 2] 0 d 0 100 m 50 75 l S"
    assert content[2] == "0 1 0 RG 1 J 6 w [] 0 d 60 30 m 60 30 l S 0 J"
    # Brackets and backslashes would end the text; letters that the font lacks are question marks.
    assert content[3].endswith(r"50 Tm (a \(b\) <c> \\ é ?) Tj ET")
    assert float(content[3].split(" Tm")[0].split()[-2]) == pytest.approx(
        100 - width_of("a (b) <c> \\ é ?", 8), abs=0.01
    )
    assert "0 1 -1 0 5" in content[4]
    assert canvas.pdf() == found


def test_only_svg_and_pdf_are_written(canvas: Canvas, tmp_path: Path) -> None:
    canvas.save(tmp_path / "a.svg")
    canvas.save(tmp_path / "a.pdf")
    assert (tmp_path / "a.svg").read_text() == canvas.svg()
    assert (tmp_path / "a.pdf").read_bytes() == canvas.pdf()
    with pytest.raises(UserError, match=r"a\.png: expected a name that ends in \.svg or \.pdf"):
        canvas.save(tmp_path / "a.png")


def test_words_are_as_wide_as_helvetica_sets_them() -> None:
    assert width_of("Hello", 10) == pytest.approx((722 + 556 + 222 + 222 + 556) / 100)
    assert width_of("~", 1000) == 584
