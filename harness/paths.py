"""Where things lie: cards and report assets (repository or wheel) and the user's data directory."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def cards_dir() -> Path:
    """Directory of the built-in dataset cards: `harness/cards` in a wheel, `datasets/` in a checkout."""
    return _first_existing(_PACKAGE / "cards", _PACKAGE.parent / "datasets")


def protocols_dir() -> Path:
    """Directory of the built-in protocols of extraction, beside the cards."""
    return cards_dir() / "protocols"


def maps_dir() -> Path:
    """Directory of the class maps between data sets, beside the cards."""
    return cards_dir() / "maps"


def report_assets_dir() -> Path:
    """Directory of page templates and published numbers: `harness/assets` in a wheel, `reports/` in a checkout."""
    return _first_existing(_PACKAGE / "assets", _PACKAGE.parent / "reports")


def harness_home() -> Path:
    """Directory of banks and generated sets: `HARNESS_HOME`, else the platform's user data directory.

    Raises:
        UserError: `HARNESS_HOME` begins with the home of a user who is not known.
    """
    chosen = os.environ.get("HARNESS_HOME")
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise UserError(f"HARNESS_HOME={chosen}: there is no such home; set it to a directory") from error
    from platformdirs import user_data_path

    return user_data_path("harness-wsvad")


def banks_dir() -> Path:
    """Directory that holds one sub-directory per imported feature bank."""
    return harness_home() / "banks"


def extractions_dir() -> Path:
    """Directory of the features that were extracted for a data set, one sub-directory for each card and set."""
    return harness_home() / "extractions"


def own_cards_dir() -> Path:
    """Directory of the cards of users' own data sets, kept at import so that they are found by name."""
    return harness_home() / "cards"


def cache_dir() -> Path:
    """Directory of what can be computed or fetched again; it may be deleted at any time."""
    return harness_home() / "cache"


def seal_dirs() -> tuple[Path, ...]:
    """Directories of the seals of large files, in the order of trial: with the banks, else where caches lie."""
    from platformdirs import user_cache_path

    return harness_home() / "seals", user_cache_path("harness-wsvad") / "seals"


def _first_existing(*candidates: Path) -> Path:
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    return candidates[-1]
