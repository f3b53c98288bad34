"""One of several processes that record runs in one store: `python writer.py OUT FIRST COUNT [URI]`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from harness.tracking.tracker import Tracker
from tests.fakes import fake_run

if __name__ == "__main__":
    out, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    tracker = Tracker(sys.argv[4] if len(sys.argv) > 4 else None, out)
    for seed in range(first, first + count):
        result = fake_run(out, seed=seed, dataset=f"toy{seed % 3}")
        # Nobody loads it here.
        (out / result.id / "checkpoint.safetensors").write_bytes(b"weights")
        tracker.send(result.model_copy(update={"directory": str(out / result.id)}))
    # Whatever could not be sent is sent when the store is back.
    deadline = time.monotonic() + 300
    while (problems := tracker.sync()) and time.monotonic() < deadline:
        time.sleep(1)
    sys.exit("\n".join(problems) or None)
