"""The command that computes a row of a board again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import UserError
from harness.report.leaderboard.board import Board, Row

_SEEDED = "seeded-"


def command(board: Board, row: Row, seeds: Sequence[int], changed: Mapping[str, Any]) -> str:
    """Return the shell command for the row's runs with these seeds, on data imported as on this board.

    Weights and scores that were given are named by hash: whoever has the file puts its path there. `changed` are the
    settings of the row's config that its method, data set and preset do not imply.
    """
    spec = row.members[-1].result.spec
    asked = board.asked
    words = ["--dataset", asked.trained_on or board.dataset, "--features", board.features]
    words += ["--test", board.dataset] if asked.trained_on else []
    words += ["--open-vocabulary"] if asked.base else []
    words += ["--causal"] if asked.reading else []
    words += ["--disturbances", asked.disturbance] if asked.disturbance else []
    if row.origin == "imported":
        scores = f"SCORES-{row.config.get('scores', '')[:12]}"
        return shlex.join(["harness", "score", scores, *words, "--as", row.method, "--track", asked.track])
    if row.checkpoint:
        words = ["harness", "eval", f"CHECKPOINT-{row.checkpoint[:12]}", *words]
    else:
        words = ["harness", "run", "--methods", row.method, *words, "--seeds", ",".join(map(str, seeds))]
        words += ["--selection", row.selection]
        words += ["--preset", row.preset] if row.preset else []
        for key, value in changed.items():
            words += ["--set", f"{row.method}.{key}={json.dumps(value)}"]
    if row.text_tower and not row.text_tower.startswith(_SEEDED):
        words += ["--text-tower", row.text_tower]
    if spec is not None and spec.device != "cpu":
        words += ["--device", spec.device]
    if spec is not None and spec.precision != "fp32":
        words += ["--precision", spec.precision]
    if spec is not None and spec.compiled:
        words.append("--compile")
    return shlex.join(words)


def settings_family(dataset: str) -> str:
    """Return whose settings methods are trained with on a data set, "" for one from someone's own file."""
    from harness.data.cards import find_card

    try:
        return find_card(dataset).settings_family
    except UserError:
        return ""
