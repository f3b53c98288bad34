"""The command that makes a study again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from harness.registry import changed_settings
from harness.report.leaderboard.board import Row
from harness.report.site.reproduce import settings_family
from harness.report.study.curves import Study


def command(study: Study, rows: Sequence[Row]) -> str:
    """Return the shell command of a study with these rows; levels are those that it has."""
    levels = sorted({point.level for curve in study.curves for point in curve.points})
    methods = list(dict.fromkeys(curve.method for curve in study.curves))
    seeds = sorted({seed for curve in study.curves for seed in curve.seeds})
    presets = {curve.preset for curve in study.curves} - {""}
    words = ["harness", "study", study.name, "--methods", ",".join(methods), "--dataset", study.dataset]
    words += ["--features", study.features, "--seeds", ",".join(map(str, seeds))]
    words += ["--levels", ",".join(f"{level:g}" for level in levels)]
    words += ["--preset", presets.pop()] if len(presets) == 1 else []
    family = settings_family(study.dataset)
    chosen = [row for row in rows if row.method in methods]
    settings = {row.method: changed_settings(row.method, family, row.preset, row.config) for row in chosen}
    for method, values in settings.items():
        for key, value in values.items():
            words += ["--set", f"{method}.{key}={json.dumps(value)}"]
    return shlex.join(words)
