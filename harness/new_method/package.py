"""The files of a package for one method, and writing them."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from harness import plugin
from harness.errors import UserError
from harness.io.atomic import replacing_directory, write_text
from harness.names import METHOD_NAMES, is_method_name
from harness.registry import GROUPS, method_cards, method_names

# Template -> file of the package; both may name $module.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "method.py": "$module.py",
    "test_method.py": "test_$module.py",
}
_TEMPLATES = Path(__file__).with_name("template")
# What the file of the method imports, or could.
_IMPORTED = {*plugin.__all__, "Any", "ClassVar", "F", "Mapping", "Sequence", "Tensor"}


def write_package(name: str, title: str | None, place: Path) -> Path:
    """Write a package for the method `name` to a new directory below `place` and return that.

    `title` is what leaderboards call the method; without one it is made of the name.

    Raises:
        UserError: no method may have this name or title, another method has it, or the directory is there already.
        Unwritable: the system refused a write.
    """
    if not is_method_name(name):
        raise UserError(f"{name}: the name of a method must be {METHOD_NAMES}")
    aliases = {alias: card.name for card in method_cards().values() for alias in card.aliases}
    if name in (*method_names(), *aliases, *GROUPS):
        raise UserError(f"{name}: there is a method, an alias or a group of this name; choose another")
    if title is not None and (not title.strip() or not title.isprintable() or set(title) & set('"\\')):
        raise UserError(f"--title {title!r}: expected words in one line, without quotation marks and backslashes")
    directory = place / f"harness-{name}"
    if directory.exists():
        raise UserError(f"{directory}: is there already; choose another name or another --to")
    files = package_files(name, title or re.sub("[-_]+", " ", name).capitalize())
    with replacing_directory(directory) as temporary:
        for path, text in files.items():
            write_text(temporary / path, text)
    return directory


def package_files(name: str, title: str) -> dict[str, str]:
    """Return the text of each file of the package, by its path."""
    words = re.findall("[A-Za-z0-9]+", title) or re.findall("[A-Za-z0-9]+", name)
    short = "".join(word[:1].upper() + word[1:] for word in words)
    values = {
        "name": name,
        "title": title,
        "module": "harness_" + name.lower().replace("-", "_"),
        "class_name": f"Method{short}" if _taken(short) else short,
    }
    return {
        Template(path).substitute(values): Template(_text(template)).substitute(values)
        for template, path in _FILES.items()
    }


def _taken(name: str) -> bool:
    """Whether a class may not have this name, or its file means something else by it."""
    return not name[0].isalpha() or keyword.iskeyword(name) or name in _IMPORTED


def _text(template: str) -> str:
    return (_TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
