"""A board as the pages of the site know it: where it is, how its rows are called, and what they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.identity.check_record import FIELD
from harness.report.leaderboard.board import Board, Row
from harness.report.site.installed import Installed
from harness.report.site.reproduce import settings_family


@dataclass(frozen=True)
class ShownBoard:
    """A board and its address."""

    board: Board
    slug: str
    names: list[str]
    scales: dict[str, tuple[float, float]]

    @property
    def url(self) -> str:
        return f"boards/{self.slug}.html"

    @property
    def provenance(self) -> dict[str, str]:
        """Everything that its rows were computed with, and their seeds."""
        found: dict[str, dict[str, None]] = {}
        for row in self.board.rows:
            for name, values in {"seeds": map(str, row.seeds), "code": row.code, **row.provenance}.items():
                if name not in ("fidelity", FIELD):
                    found.setdefault(name, {}).update(dict.fromkeys(value for value in values if value))
        return {name: ", ".join(sorted(values)) for name, values in found.items()}

    @cached_property
    def family(self) -> str:
        """Whose settings its methods were trained with."""
        return settings_family(self.board.asked.trained_on or self.board.dataset)

    def changed(self, row: Row, method: Installed) -> dict[str, Any]:
        """Return the settings of a row's config that its method, data set and preset do not imply."""
        return method.changed(self.family, row.preset, row.config)

    @property
    def note(self) -> str:
        """The first caution, if any."""
        return self.board.cautions[0] if self.board.cautions else ""
