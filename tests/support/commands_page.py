"""Generates docs/reference/commands.md from the commands' own help."""

import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

import click

from webhook.cli import cli
from webhook.cli.command import ConnectionOption, Group
from webhook.constants import PROGRAM

from .markdown import table

_HEAD = """\
# Commands
The program is `registry-webhook`. Installed next to kubectl it is also `kubectl registry-webhook`. In a checkout it is
`.venv/bin/python -m webhook` after `make demo`. `registry-webhook COMMAND --help` prints the same text as this page.

This page is generated from the commands' help.
"""

_STATUS = """
## Exit status
| Status | Meaning |
| --- | --- |
| 0 | success |
| 1 | the command found something, as its section says |
| 2 | an error, printed as `error: WHAT (WHERE)` with an optional `hint: WHAT TO DO` on the next line |
| 3 | `review`: no file has a Pod or workload with an image |
| 130 | interrupted |

## Common behavior
Results go to standard output, errors, warnings and progress to standard error. The formats `json` and `yaml` are for
programs, and their keys and codes are stable. Text formats may change.
"""

_PARAGRAPH = re.compile(r"\n\s*\n")
_CONNECTION = "All commands that read a cluster have these options. They mean the same as in kubectl."


class _Entry(NamedTuple):
    name: str
    """`policy mutate` for a command of a group."""
    summary: str
    command: click.Command


def page() -> str:
    """Return the page."""
    root = click.Context(cli, info_name=PROGRAM, **cli.context_settings)
    groups = {title: list(_entries(root, commands)) for title, commands in cli.summaries(root).items()}
    everything = [entry for entries in groups.values() for entry in entries]
    overview = "".join(
        f"\n### {title}\n{table(('Command', 'Purpose'), map(_row, group))}" for title, group in groups.items()
    )
    connection = dict(option for entry in everything for option in _options(entry, connection=True))
    return (
        f"{_HEAD}\n## Overview\n{overview}{_STATUS}"
        f"\n## Connection options\n{_CONNECTION}\n\n{table(('Option', 'Meaning'), connection.items())}"
        + "".join(map(_section, everything))
    )


def _row(entry: _Entry) -> tuple[str, str]:
    return f"[`{entry.name}`](#{entry.name.replace(' ', '-')})", entry.summary


def _entries(parent: click.Context, summaries: dict[str, str], path: str = "") -> Iterator[_Entry]:
    """Yield commands, for a group those in it."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name, summary in summaries.items():
        command = group.get_command(parent, name)
        assert command
        if isinstance(command, Group):
            ctx = click.Context(command, parent, info_name=name)
            for found in command.summaries(ctx).values():
                yield from _entries(ctx, found, f"{path}{name} ")
        else:
            yield _Entry(f"{path}{name}", summary, command)


def _options(entry: _Entry, *, connection: bool) -> Iterator[tuple[str, str]]:
    """Yield the options with their help, either kubectl's or all others."""
    ctx = click.Context(entry.command, info_name=f"{PROGRAM} {entry.name}", **cli.context_settings)
    for option in entry.command.get_params(ctx):
        is_shown = isinstance(option, click.Option) and "--help" not in option.opts
        if is_shown and isinstance(option, ConnectionOption) == connection:
            record = option.get_help_record(ctx)
            if record:
                yield f"`{record[0]}`", record[1]


def _section(entry: _Entry) -> str:
    command = entry.command
    ctx = click.Context(command, info_name=f"{PROGRAM} {entry.name}", **cli.context_settings)
    usage = " ".join([PROGRAM, entry.name, *command.collect_usage_pieces(ctx)])
    parts = [f"\n## {entry.name}\n", *_prose(command.help or ""), f"```text\n{usage}\n```\n"]
    if options := list(_options(entry, connection=False)):
        parts.append(table(("Option", "Meaning"), options))
    if any(_options(entry, connection=True)):
        parts.append("This command also has the [connection options](#connection-options).\n")
    return "\n".join([*parts, *_prose(command.epilog or "")])


def _prose(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text; examples become a block of code."""
    for paragraph in _PARAGRAPH.split(textwrap.dedent(text).replace("\f", "")):
        kept = "\b" in paragraph
        lines = paragraph.replace("\b\n", "").replace("\b", "").strip("\n")
        title, _, rest = lines.partition("\n")
        if re.fullmatch(r"Examples?:", title.strip()):
            yield f"Examples:\n\n```sh\n{textwrap.dedent(rest).rstrip()}\n```\n"
        elif kept and rest and not title.startswith("Exit status"):
            yield f"```text\n{textwrap.dedent(lines).rstrip()}\n```\n"
        elif lines.strip():
            yield " ".join(lines.split()) + "\n"
