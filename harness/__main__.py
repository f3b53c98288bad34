"""`python -m harness`, and the console script `harness`: from here on Ctrl-C is one line, also during the imports."""

from __future__ import annotations

import gc
import sys

from harness.cli.ending import ending


def main() -> None:
    """Run the command line and exit, see `harness.cli.app.main`."""
    with ending("--debug" in sys.argv):
        # Imports make hundreds of thousands of objects that stay. Looking through them all again and again, as Python
        # does by its own numbers, takes about a tenth of the time of a short `harness run`.
        gc.set_threshold(10_000, 10, 10)
        from harness.cli.app import main as command

        command()


if __name__ == "__main__":
    main()
