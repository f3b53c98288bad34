"""A drawing of lines, areas, dots and words, kept as what was drawn and written as SVG or PDF. Units are points."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from harness.errors import UserError
from harness.io.atomic import replacing
from harness.printable import printable

ENDINGS = (".svg", ".pdf")
Points = Sequence[tuple[float, float]]
# Widths of Helvetica's letters from the blank on, in thousandths of its size (Adobe's published metrics).
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, *[556] * 10, 278, 278, 584, 584),
    *(584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667),
    *(611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222),
    *(222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)


@dataclass(frozen=True)
class _Line:
    points: Points
    colour: str
    width: float
    dash: Sequence[float]


@dataclass(frozen=True)
class _Area:
    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class _Dot:
    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True)
class _Words:
    x: float
    y: float
    text: str
    size: float
    anchor: str
    turned: bool


@dataclass
class Canvas:
    """A drawing; y grows downwards, colours are #rrggbb. Equal drawings give equal bytes."""

    width: float
    height: float
    _parts: list[_Line | _Area | _Dot | _Words] = field(default_factory=list)

    def line(self, points: Points, colour: str = "#333333", width: float = 1.0, dash: Sequence[float] = ()) -> None:
        """Draw a line through points."""
        self._parts.append(_Line([(_short(x), _short(y)) for x, y in points], colour, width, dash))

    def area(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Fill a rectangle."""
        self._parts.append(_Area(_short(x), _short(y), _short(width), _short(height), colour))

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """Draw a disc."""
        self._parts.append(_Dot(_short(x), _short(y), radius, colour))

    def words(
        self, x: float, y: float, text: str, size: float = 8, anchor: str = "start", turned: bool = False
    ) -> None:
        """Write a line; `anchor` is start, middle or end, `turned` writes upwards."""
        self._parts.append(_Words(_short(x), _short(y), printable(text), size, anchor, turned))

    def save(self, path: Path) -> None:
        """Write the file, atomically; raises UserError where it is to be neither .svg nor .pdf."""
        check_ending(path)
        with replacing(path) as temporary:
            temporary.write_bytes(self.svg().encode() if path.suffix == ".svg" else self.pdf())

    def svg(self) -> str:
        """Return the drawing as SVG."""
        drawn = "\n".join(map(_as_svg, self._parts))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}pt" height="{self.height:g}pt" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" '
            f'font-family="Helvetica, Arial, sans-serif">\n{drawn}\n</svg>\n'
        )

    def pdf(self) -> bytes:
        """Return the drawing as a PDF of one page; letters that its font lacks become question marks."""
        content = zlib.compress("\n".join(self._as_pdf(part) for part in self._parts).encode("cp1252"), 9)
        bodies = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {self.width:g} {self.height:g}] /Contents 5 0 R "
            "/Resources << /Font << /F 4 0 R >> >> >>".encode(),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            f"<< /Length {len(content)} /Filter /FlateDecode >>\nstream\n".encode() + content + b"\nendstream",
        ]
        found, places = b"%PDF-1.4\n", []
        for number, body in enumerate(bodies, 1):
            places.append(len(found))
            found += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
        table = "".join(f"{place:010d} 00000 n \n" for place in places)
        end = f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n{table}trailer\n"
        end += f"<< /Size {len(bodies) + 1} /Root 1 0 R >>\nstartxref\n{len(found)}\n%%EOF\n"
        return found + end.encode()

    def _as_pdf(self, part: _Line | _Area | _Dot | _Words) -> str:
        def up(y: float) -> float:
            return _short(self.height - y)

        if isinstance(part, _Line):
            steps = " ".join(f"{x:g} {up(y):g} {'l' if at else 'm'}" for at, (x, y) in enumerate(part.points))
            dash = " ".join(f"{each:g}" for each in part.dash)
            return f"{_rgb(part.colour)} RG {part.width:g} w [{dash}] 0 d {steps} S"
        if isinstance(part, _Area):
            corner = f"{part.x:g} {up(part.y + part.height):g} {part.width:g} {part.height:g}"
            return f"{_rgb(part.colour)} rg {corner} re f"
        if isinstance(part, _Dot):  # a line of no length with round ends is a disc
            at = f"{part.x:g} {up(part.y):g}"
            return f"{_rgb(part.colour)} RG 1 J {2 * part.radius:g} w [] 0 d {at} m {at} l S 0 J"
        text = part.text.encode("cp1252", "replace").decode("cp1252")
        back = width_of(text, part.size) * {"start": 0.0, "middle": 0.5, "end": 1.0}[part.anchor]
        x, y = (part.x, part.y + back) if part.turned else (part.x - back, part.y)
        turn = "0 1 -1 0" if part.turned else "1 0 0 1"
        shown = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        return f"BT 0.13 g /F {part.size:g} Tf {turn} {_short(x):g} {up(y):g} Tm ({shown}) Tj ET"


def check_ending(path: Path) -> None:
    """Raise UserError unless a file is to be .svg or .pdf."""
    if path.suffix not in ENDINGS:
        raise UserError(f"--to {path}: expected a name that ends in .svg or .pdf")


def width_of(text: str, size: float) -> float:
    """Return how wide Helvetica sets a text, in points."""
    return sum(_WIDTHS[ord(c) - 32] if 32 <= ord(c) < 127 else 556 for c in text) * size / 1000


def _as_svg(part: _Line | _Area | _Dot | _Words) -> str:
    if isinstance(part, _Line):
        dash = f' stroke-dasharray="{" ".join(f"{each:g}" for each in part.dash)}"' if part.dash else ""
        points = " ".join(f"{x:g},{y:g}" for x, y in part.points)
        return f'<polyline points="{points}" fill="none" stroke="{part.colour}" stroke-width="{part.width:g}"{dash}/>'
    if isinstance(part, _Area):
        size = f'width="{part.width:g}" height="{part.height:g}"'
        return f'<rect x="{part.x:g}" y="{part.y:g}" {size} fill="{part.colour}"/>'
    if isinstance(part, _Dot):
        return f'<circle cx="{part.x:g}" cy="{part.y:g}" r="{part.radius:g}" fill="{part.colour}"/>'
    turn = f' transform="rotate(-90 {part.x:g} {part.y:g})"' if part.turned else ""
    place = f'x="{part.x:g}" y="{part.y:g}" font-size="{part.size:g}" text-anchor={quoteattr(part.anchor)}'
    return f'<text {place} fill="#222222"{turn}>{escape(part.text)}</text>'


def _rgb(colour: str) -> str:
    return " ".join(f"{int(colour[at : at + 2], 16) / 255:.3g}" for at in (1, 3, 5))


def _short(value: float) -> float:
    return round(float(value), 2)
