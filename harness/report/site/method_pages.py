"""A page for each method: its rows on all boards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.report.leaderboard.board import Row
from harness.report.leaderboard.uncertainty import Artifact
from harness.report.site import links, pictures
from harness.report.site.installed import Installed
from harness.report.site.reproduce import command
from harness.report.site.shown_board import ShownBoard
from harness.report.site.written import Text


@dataclass(frozen=True)
class Entry:
    """A method's row on a board."""

    page: ShownBoard
    row: Row


@dataclass
class Method:
    """A method with what it says of itself; `card` is None where it is not installed."""

    title: str
    installed: Installed
    entries: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.installed.name

    @property
    def card(self) -> Any:
        return self.installed.card

    @property
    def fidelity(self) -> str:
        return self.installed.fidelity

    @property
    def bibtex(self) -> str:
        return self.installed.bibtex


def methods_of(boards: Sequence[ShownBoard], edition: str, cache: Path | None) -> dict[str, Method]:
    """Return the methods of the boards by name, in the order of their titles; see `Installed` for the rest."""
    found: dict[str, Method] = {}
    for page in boards:
        for row in page.board.rows:
            if row.method not in found:
                installed = Installed(row.method, edition, cache)
                title = installed.card.title if installed.card else row.method
                found[row.method] = Method(title, installed)
            found[row.method].entries.append(Entry(page, row))
    return dict(sorted(found.items(), key=lambda item: item[1].title.lower()))


def method_page(environment: Any, method: Method, artifact: Artifact, cache: Path | None) -> Iterator[Text]:
    """Yield address and text of the page of a method."""
    entries = [
        {
            "page": entry.page,
            "row": entry.row,
            "command": command(
                entry.page.board, entry.row, entry.row.seeds, entry.page.changed(entry.row, method.installed)
            ),
            "plots": pictures.training_plots(entry.row.members, artifact, cache),
        }
        for entry in method.entries
    ]
    text = environment.get_template("method.html.j2").render(
        root="../",
        method=method,
        entries=entries,
        metrics=("frame_auc", "frame_ap", "abnormal_auc", "video_auc", "map_avg"),
    )
    yield links.method(method.name), text
