"""The classes of all commands and groups: their help, and the errors of their command line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from webhook.cli.option_types import Choice
from webhook.constants import PROGRAM
from webhook.output import invocation, terminal

#: The program's name where a command line begins, in an example.
_NAME = re.compile(rf"(?m)(^ *|[|&(] )({PROGRAM})(?= )")


class ConnectionOption(click.Option):
    """One of kubectl's options, which have a section of their own in a command's help."""


class Misuse(click.UsageError):
    """An error in the command line, with a hint that says more than `--help`."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UnexpectedArguments(click.UsageError):
    """More arguments than the command takes."""

    def __init__(self, words: Sequence[str], ctx: click.Context) -> None:
        self.words = tuple(words)
        super().__init__(f"unexpected argument{'s' if len(words) > 1 else ''}: {' '.join(words)}", ctx)


def is_given(ctx: click.Context, name: str) -> bool:
    """Return whether an option is on the command line, rather than in the environment or a default."""
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


@contextmanager
def _errors_located(ctx: click.Context) -> Iterator[None]:
    """Add the command to errors that click's parser raises without it."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def _choose_color(ctx: click.Context, _param: click.Parameter, value: str) -> None:
    """Store the choice where `click.echo` and `terminal.is_colored` find it, for errors too."""
    if value != "auto":
        ctx.color = ctx.find_root().color = value == "always"


class Command(click.Command):
    """A command with `--color`, whose help has two sections of options and names the program as the user called it."""

    allow_extra_args = True  # refused below, with a message of ours

    def __init__(self, *names: Any, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.params.append(
            click.Option(
                ["--color"],
                type=Choice(["auto", "always", "never"]),
                default="auto",
                show_default=True,
                expose_value=False,
                is_eager=True,
                callback=_choose_color,
                help="Color the output.",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _errors_located(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise UnexpectedArguments(rest, ctx)
        return rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        _format_epilog(self, formatter)


class Group(click.Group):
    """A group that lists whole summaries and runs without a command, when it prints its help."""

    command_class = Command

    def __init__(self, *names: Any, **settings: Any) -> None:
        super().__init__(*names, **settings | {"invoke_without_command": True})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _errors_located(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        result = super().invoke(ctx)
        if ctx.invoked_subcommand is None:
            terminal.write_all(ctx.get_help().splitlines())
        return result

    def summaries(self, ctx: click.Context) -> dict[str, dict[str, str]]:
        """Return the sections of commands, each with its title and its commands' summaries."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        return {"Commands": {name: one.get_short_help_str(1000) for name, one in found.items() if one}}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(args[0], possibilities=self.list_commands(ctx), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in self.summaries(ctx).items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))
        _format_options(self, ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        _format_epilog(self, formatter)


def _format_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    options = [one for one in command.get_params(ctx) if isinstance(one, click.Option)]
    for title, chosen in (
        ("Options", [one for one in options if not isinstance(one, ConnectionOption)]),
        ("Connection options", [one for one in options if isinstance(one, ConnectionOption)]),
    ):
        records = [record for one in chosen if (record := one.get_help_record(ctx))]
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _format_epilog(command: click.Command, formatter: click.HelpFormatter) -> None:
    if command.epilog:
        formatter.write_paragraph()
        # The prefix is that of the root: `kubectl registry-webhook` as a plugin.
        formatter.write_text(_NAME.sub(lambda match: match[1] + invocation.program(), command.epilog.rstrip()))
