"""What names may be that become directories: those of methods, data sets, feature sets and protocols."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

# A run's directory holds up to three of them beside its seed and a hash; a file system takes 255 bytes.
LONGEST = 60
# What lists of methods and --set can hold, too.
_METHOD = re.compile(rf"(?=.{{1,{LONGEST}}}\Z)[A-Za-z0-9][\w-]*", re.ASCII)
# What ends like a card's file would be taken for one.
_CARD = re.compile(rf"(?=.{{1,{LONGEST}}}\Z)(?!.*\.ya?ml\Z)[a-z0-9][a-z0-9._-]*", re.ASCII)

METHOD_NAMES = f"letters, digits, - and _, at most {LONGEST} of them"
CARD_NAMES = f"a-z, 0-9, '.', '_' and '-', at most {LONGEST} of them, a letter or digit first and no .yaml last"


def is_method_name(text: str) -> bool:
    """Return whether a method may have this name."""
    return _METHOD.fullmatch(text) is not None


def is_card_name(text: str) -> bool:
    """Return whether a data set, a feature set or a protocol may have this name."""
    return _CARD.fullmatch(text) is not None


def meant(word: str, known: Collection[str]) -> str:
    """Return "did you mean A or B?" of the known words that are nearest, "" where none is near."""
    near = difflib.get_close_matches(word, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else ""
