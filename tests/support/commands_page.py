"""Generates docs/reference/commands.md from the commands' own help."""

import re
import textwrap
from collections.abc import Iterator

import click

from webhook.cli import cli
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
| 130 | interrupted |

## Common behavior
Results go to standard output, errors, warnings and progress to standard error. The formats `json` and `yaml` are for
programs, and their keys and codes are stable. Text formats may change.
"""

_PARAGRAPH = re.compile(r"\n\s*\n")


def page() -> str:
    """Return the page."""
    found = dict(_commands(click.Context(cli, info_name=PROGRAM)))
    summaries = [(f"[`{name}`](#{_anchor(name)})", command.get_short_help_str(200)) for name, command in found.items()]
    sections = "".join(_section(name, command) for name, command in found.items())
    return f"{_HEAD}\n## Overview\n{table(('Command', 'Purpose'), summaries)}{_STATUS}{sections}"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _commands(parent: click.Context, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, `policy mutate` for a command of a group."""
    group = parent.command
    assert isinstance(group, click.Group)
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command
        full = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from _commands(click.Context(command, parent, info_name=name), full)
        elif not command.hidden:
            yield full, command


def _section(name: str, command: click.Command) -> str:
    ctx = click.Context(command, info_name=f"{PROGRAM} {name}")
    usage = " ".join([PROGRAM, name, *command.collect_usage_pieces(ctx)])
    parts = [f"\n## {name}\n", *_prose(command.help or ""), f"```text\n{usage}\n```\n"]
    options = [
        (f"`{record[0]}`", record[1])
        for option in command.get_params(ctx)
        if (record := option.get_help_record(ctx)) and "--help" not in option.opts
    ]
    if options:
        parts.append(table(("Option", "Meaning"), options))
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
