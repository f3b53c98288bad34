"""`python -m harness`, and the console script `harness`: from here on Ctrl-C is one line, also during the imports."""

from __future__ import annotations

import sys

from harness.cli.ending import ending


def main() -> None:
    """Run the command line and exit, see `harness.cli.app.main`."""
    with ending("--debug" in sys.argv):
        from harness.cli.app import main as command

        command()


if __name__ == "__main__":
    main()
