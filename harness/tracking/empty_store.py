"""An empty SQLite store, made once for each version of MLflow and copied from then on.

MLflow builds its tables by going through every change that they ever saw, which takes seconds.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import Unwritable
from harness.io.atomic import replacing
from harness.paths import cache_dir


def copy_of_empty(path: Path, version: str, make: Callable[[Path], None]) -> None:
    """Write to `path` the empty store that `make` makes with this version of MLflow, or made before.

    MLflow's own experiment `Default` is as old as the copy, and where MLflow would have put it. Raises whatever `make`
    raises.
    """
    kept = cache_dir() / "stores" / f"mlflow-{version}.db"
    if not _sound(kept):
        make(path)
        # Without a cache, the next one is made again.
        with contextlib.suppress(Unwritable), replacing(kept, lasting=False) as temporary:
            shutil.copyfile(path, temporary)
        return
    shutil.copyfile(kept, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        now, place = int(time.time() * 1000), str(Path("mlruns").absolute() / "0")
        connection.execute("UPDATE experiments SET creation_time = ?, last_update_time = ?", (now, now))
        connection.execute("UPDATE experiments SET artifact_location = ?", (place,))


def _sound(path: Path) -> bool:
    """Whether it is a database of which SQLite finds every page in order, with one experiment and no run."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            checked = connection.execute("PRAGMA integrity_check").fetchone()[0]
            counts = connection.execute("SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs)")
            return bool(checked == "ok" and counts.fetchone() == (1, 0))
    except sqlite3.Error:
        return False
