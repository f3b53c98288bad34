"""Verbs whose options are given once each and hold something: what would be ignored without a word is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from harness.errors import UserError


class Verb(TyperCommand):
    """A command that refuses an option given twice, of which the last would count, and one with nothing in it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as any command does.

        Raises:
            UserError: an option is given twice, or an option or argument is the empty text.
        """
        values, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in given:
            once = not (getattr(parameter, "multiple", False) or getattr(parameter, "is_flag", False))
            if once and parameter.param_type_name == "option" and given.count(parameter) > 1:
                raise UserError(f"{_name(parameter)} is given {given.count(parameter)} times; give it once")
            value = values.get(parameter.name)
            if "" in (value if isinstance(value, list | tuple) else [value]):
                raise UserError(f"{_name(parameter)} is empty; see `{ctx.command_path} --help`")
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        """Call the function of the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Standard streams do not raise it here, and the library would end with exit code 1 and no word.
            raise RuntimeError("a process that this command started went away") from error


class Verbs(typer.Typer):
    """An application of such commands; `-h` is `--help` in all of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            no_args_is_help=True,
            add_completion=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **options,
        )

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        """Return a decorator that adds a function as a command, as `typer.Typer.command` does."""
        return super().command(name, cls=Verb, **options)


def _name(parameter: Any) -> str:
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper())
