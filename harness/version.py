"""The version of the harness, which reports, bundles and runs carry: that of the installed package."""

from __future__ import annotations

from importlib import metadata

try:
    __version__ = metadata.version("harness-wsvad")
except metadata.PackageNotFoundError:  # a copy of the sources that nobody installed
    __version__ = "0+unknown"
