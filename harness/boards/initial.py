"""A new results repository: rules, cards, workflows and the places for what teams hand in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.boards.settings import Closed
from harness.data.cards import card_names, find_card
from harness.errors import UserError
from harness.io.atomic import unwritable, write_text
from harness.metrics.version import PROTOCOL_VERSION
from harness.paths import cards_dir, report_assets_dir
from harness.printable import printable

NAME = "Weakly supervised video anomaly detection"
FOLDERS = ("submissions", "records", "reruns")
# Templates, and where what is made of them goes.
_FILES = {
    "board.yaml": "board.yaml",
    "README.md": "README.md",
    "statement.example.yaml": "statement.example.yaml",
    "annotations.md": "annotations/README.md",
    "check.yml": ".github/workflows/check.yml",
    "comment.yml": ".github/workflows/comment.yml",
    "publish.yml": ".github/workflows/publish.yml",
}


def init(directory: Path, datasets: Sequence[str] = (), name: str = NAME) -> list[Path]:
    """Write a results repository of some data sets (none: all built-in ones) and return its files.

    Equal arguments give equal bytes.

    Raises:
        UserError: the directory is not empty, or a data set is not a built-in one.
    """
    try:
        if directory.exists() and any(directory.iterdir()):
            raise UserError(f"{directory}: is not empty; name a new directory")
    except OSError as error:
        raise unwritable(directory, error) from error
    chosen = tuple(dict.fromkeys(datasets)) or card_names()
    for dataset in chosen:
        if dataset not in card_names():
            find_card(dataset)  # says which there are
            raise UserError(f"--datasets {dataset}: not a built-in card; copy its YAML file to cards/ afterwards")
    files = {f"cards/{each}.yaml": (cards_dir() / f"{each}.yaml").read_text(encoding="utf-8") for each in chosen}
    files |= {f"{folder}/.gitkeep": "" for folder in FOLDERS}
    files |= {target: _rendered(source, chosen, printable(name)) for source, target in _FILES.items()}
    for place, text in sorted(files.items()):
        write_text(directory / place, text, lasting=False)
    return [directory / place for place in sorted(files)]


def _rendered(source: str, datasets: Sequence[str], name: str) -> str:
    text = (report_assets_dir() / "repository" / source).read_text(encoding="utf-8")
    closed = Closed()
    values: dict[str, Any] = {
        "name": name,
        "name_quoted": json.dumps(name, ensure_ascii=False),  # JSON is YAML
        "protocol": PROTOCOL_VERSION,
        "datasets": ", ".join(datasets),
        "selections": " or ".join(f"`{rule}`" for rule in closed.selections),
        "seeds": closed.seeds,
    }
    # Workflows hold braces of their own, so this is no template language.
    for key, value in values.items():
        text = text.replace(f"{{{{ {key} }}}}", str(value))
    return text
