"""BibTeX for methods and for the harness, from what their cards say; nobody's name is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.quoting import bibtex_text
from harness.version import __version__

if TYPE_CHECKING:
    from harness.plugin.method import MethodCard

_JOURNALS = ("TIP", "TMM", "TCSVT", "TPAMI", "TNNLS", "PR", "IJCV", "CVIU", "arXiv")


def bibtex(card: MethodCard) -> str:
    """Return the entry of a method's paper, "" where its card names none. Authors are left for the citing to add."""
    if not card.paper:
        return ""
    kind, where = "misc", ""
    if card.venue and card.venue not in _JOURNALS:
        kind, where = "inproceedings", "booktitle"
    elif card.venue and card.venue != "arXiv":
        kind, where = "article", "journal"
    fields = {
        "title": f"{{{bibtex_text(card.paper)}}}",
        where: bibtex_text(card.venue),
        "year": str(card.year or ""),
    }
    if card.arxiv:
        fields |= {"eprint": bibtex_text(card.arxiv), "archivePrefix": "arXiv"}
    return _entry(kind, f"{card.name}{card.year or ''}", fields)


def harness_bibtex() -> str:
    """Return the entry of this software."""
    title = "{harness: reproducible benchmarks for weakly supervised video anomaly detection}"
    return _entry("software", "harness-wsvad", {"title": title, "version": __version__})


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if name and value]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"
