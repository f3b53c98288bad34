"""Where the pages of the site lie: names that last, whatever characters a method or data set has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness.io.digests import digest
from harness.report.leaderboard.board import Board

_LONGEST = 100
# Devices, whatever the extension, where the pages may be copied to.
_TAKEN = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def slug(text: str) -> str:
    """Return a file name for `text`: itself where it is one, else a readable form with a hash of it.

    Names that differ in capital letters alone are different files on every system.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_LONGEST]
    if _TAKEN.match(safe):
        safe = f"page-{safe}"
    return safe if safe and safe == text == text.lower() else f"{safe}-{digest(text)[:8]}".lstrip("-")


def method(name: str) -> str:
    """Address of a method's page, from the site's root."""
    return f"methods/{slug(name)}.html"


def run(name: str) -> str:
    """Address of a run's page, from the site's root."""
    return f"runs/{slug(name)}.html"


def run_data(name: str) -> str:
    """Address of the scores that a run's page loads, from the site's root."""
    return f"data/runs/{slug(name)}.js"


def board_slugs(boards: Sequence[Board]) -> list[str]:
    """Return a name for each board: data set, features and question, with a hash where several boards share these."""
    plain = [slug("-".join(filter(None, (board.dataset, board.features, board.asked.short)))) for board in boards]
    often = Counter(plain)
    return [
        name if often[name] == 1 else f"{name}-{digest(b.feature_hash, b.dataset_hash, b.protocol, *b.excluded)[:8]}"
        for name, b in zip(plain, boards, strict=True)
    ]
