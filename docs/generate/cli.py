"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import typer

from generate import tables
from harness.cli.app import app


def page() -> str:
    """Return the page: every verb with its arguments and options."""
    root = typer.main.get_command(app)
    lines = [
        "# Command line",
        "This page is made from the commands. `harness VERB --help` prints the same. Exit codes: 0 fine; 1 a run "
        "failed or a check did not hold; 2 the input was wrong, and one line says what and how to mend it; 130 "
        "interrupted. "
        "With `--json` one JSON document goes to standard output and everything else to standard error.",
        "Before the verb: `--version` prints the version, `--debug` shows the traceback of an error.",
    ]
    for name, command in _verbs(root, "harness"):
        usage = " ".join([name, *(_usage(each) for each in command.params if each.param_type_name == "argument")])
        lines += [f"## {name}", inspect.cleandoc(command.help or ""), f"```sh\n{usage} [OPTIONS]\n```"]
        if shown := [each for each in command.params if each.name != "help" and not getattr(each, "hidden", False)]:
            lines.append(tables.table(("option or argument", "meaning", "default"), map(_row, shown)))
    return "\n\n".join(lines) + "\n"


def _verbs(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _usage(argument: Any) -> str:
    word = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return word if argument.required else f"[{word}]"


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        meant = "required" if parameter.required else _default(parameter)
        return f"`{_usage(parameter)}`", tables.prose(parameter.help), meant
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names, tables.prose(parameter.help), _default(parameter)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, "", False, []) or callable(value):
        return ""
    return f"`{value}`" if isinstance(value, str | int | float | PurePath) else f"`{value!r}`"
