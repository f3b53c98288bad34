"""Every option of every verb is given once and holds something; an unknown verb is told the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cli.app import app

Call = Callable[..., tuple[int, str, str]]


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """The words of every verb, and its command."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from verbs(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


VERBS = dict(verbs(typer.main.get_command(app)))
GROUPS = ("", "data")
OPTIONS = [
    pytest.param(verb, parameter, id=f"{verb} {parameter.opts[0]}".replace(" ", "-"))
    for verb, command in VERBS.items()
    for parameter in command.params
    if parameter.param_type_name == "option" and not parameter.is_flag
]
ARGUMENTS = [
    pytest.param(verb, parameter, id=f"{verb} {parameter.name}".replace(" ", "-"))
    for verb, command in VERBS.items()
    for parameter in command.params
    if parameter.param_type_name == "argument"
]


@pytest.fixture(autouse=True)
def _nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.iterdir()) == []


def test_all_verbs_are_looked_at() -> None:
    assert {"run", "report", "list", "score", "compare", "check-method", "data import", "data export"} <= VERBS.keys()
    assert len(OPTIONS) > 80


@pytest.mark.parametrize(("verb", "option"), [each for each in OPTIONS if not each.values[1].multiple])
def test_given_twice(verb: str, option: Any, harness: Call) -> None:
    for name in option.opts:
        code, stdout, stderr = harness(*verb.split(), name, "1", option.opts[0], "2", *filler(verb))
        assert (code, stdout) == (2, "")
        assert stderr == f"error: {option.opts[0]} is given 2 times; give it once\n"


@pytest.mark.parametrize(("verb", "option"), OPTIONS)
def test_given_empty(verb: str, option: Any, harness: Call) -> None:
    name = option.opts[0]
    later = [[name, "a", name, ""]] if option.multiple else []
    joined = [[f"{name}="]] if name != "--executor" else []  # which the fixture would add once more
    for words in ([name, ""], *joined, *later):
        code, stdout, stderr = harness(*verb.split(), *words, *filler(verb))
        assert (code, stdout) == (2, "")
        assert stderr == f"error: {name} is empty; see `harness {verb} --help`\n"


@pytest.mark.parametrize(("verb", "argument"), ARGUMENTS)
def test_an_empty_argument(verb: str, argument: Any, harness: Call) -> None:
    code, stdout, stderr = harness(*verb.split(), "")
    assert (code, stdout) == (2, "")
    assert stderr == f"error: {argument.name.upper()} is empty; see `harness {verb} --help`\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_two_names_everywhere(verb: str, harness: Call) -> None:
    shown = harness(*verb.split(), "-h")
    assert shown == harness(*verb.split(), "--help")
    assert (shown[0], shown[2]) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_of_a_wrong_letter_is_told_the_right_one(verb: str, harness: Call) -> None:
    *group, name = verb.split()
    wrong = f"{name}x"
    code, stdout, stderr = harness(*group, wrong)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"error: No such command '{wrong}'. Did you mean ")
    assert f"'{name}'" in stderr
    assert stderr.endswith(f"; see `{' '.join(['harness', *group])} --help`\n")
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize("group", GROUPS)
def test_a_verb_that_is_near_none(group: str, harness: Call) -> None:
    verb = " ".join(["harness", *group.split()])
    code, stdout, stderr = harness(*group.split(), "zzzzzz\x1b[31m")
    assert (code, stdout) == (2, "")
    assert stderr == f"error: No such command 'zzzzzz\\x1b[31m'; see `{verb} --help`\n"


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_option_is_one_line(verb: str, harness: Call) -> None:
    code, stdout, stderr = harness(*verb.split(), "--no-such-option", *filler(verb))
    assert (code, stdout) == (2, "")
    assert stderr.startswith("error: No such option")
    assert len(stderr.splitlines()) == 1


def filler(verb: str) -> list[str]:
    """Words for the arguments that a verb requires."""
    return ["a" for parameter in VERBS[verb].params if parameter.param_type_name == "argument"]
