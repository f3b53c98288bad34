"""Names and texts that try to be more than text, and what reads them back: one table for all outputs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# What each of them is after, and the text.
TEXTS = {
    "formula": '=HYPERLINK("http://x.example","click")',
    "formula behind a blank": " \t=1+1",
    "formula behind a quote": "\"'=1+1",
    "formula in wide letters": "\uff1d1+1",
    "plus": "+cmd|' /C calc'!A0",
    "minus": "-2+3",
    "at": "@SUM(1+1)",
    "bar": "|calc",
    "tab": "\t1+1",
    "carriage return": "\r=1+1",
    "lines": "one\ntwo\r\nthree\u2028four\x85five",
    "escape sequences": "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "control codes": "a\x00b\x08c\x7fd\x9b31m",
    "direction": "a\u202eb\u2066c\u2069d\u202ce",
    "no width": "de\u200bep\ufeffmil\u00ad",
    "half a character": "\udcff\ud800",
    "markup of the terminal": "[red]red[/red] [/] [link=http://x.example]x[/link] :warning:",
    "latex": r"\input{/etc/passwd} \write18{ls} $x$ a_b^c ~ # & % {} [1] * -- ``''",
    "latex at the beginning of a row": "[3pt] *",
    "markdown": "| a | b | `code` *b* _i_ ~~s~~ [x](http://x.example) ![i](http://x.example/i) $x$ \\| \\",
    "markdown blocks": "# heading",
    "markdown list": "- item",
    "markdown number": "1. item",
    "rule": "---",
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "attribute": '" onmouseover="alert(1)" x=\'y\' `',
    "end of a script": "</script><!--<script>",
    "end of a comment": "--> ]]> </style></title></textarea>",
    "entities": "&lt;b&gt; &#60; &amp",
    "template": "{{ 7*7 }} {% raw %} ${7*7} %(x)s {0}",
    "long": "long" * 500,
}
# Characters that no output may hold.
UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


class Page(HTMLParser):
    """What a browser would make of a page: its text without scripts, its tags, its handlers of events, its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self.text += data
