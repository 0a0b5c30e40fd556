"""Lines for a terminal or a file: whatever is not styled here is escaped when it is written.

A `Styled` string that goes through an f-string is a plain string again: a style may be lost, but no character is let
through.
"""

from collections.abc import Iterable
from typing import NamedTuple

import click

from webhook.log import escaping

RED, GREEN, YELLOW, CYAN, BOLD, DIM = (f"\x1b[{number}m" for number in (31, 32, 33, 36, 1, 2))
_PLAIN = "\x1b[0m"


class Screen(NamedTuple):
    """Where text is shown."""

    width: int | None = None
    """In characters; None where lines have no end: in a file or a pipe."""
    coloured: bool = False


class Styled(str):
    """A line that is escaped already and may hold styles, made here."""

    __slots__ = ()


def styled(text: str, style: str | None, screen: Screen) -> Styled:
    """Escape `text` and give it a style, where the screen has colours."""
    escaped = _escaped(text)
    return Styled(f"{style}{escaped}{_PLAIN}") if screen.coloured and style else escaped


def bold(text: str, screen: Screen) -> Styled:
    """Make a line stand out."""
    return styled(text, BOLD, screen)


def join(*parts: str) -> Styled:
    """Put parts of a line after each other."""
    return Styled("".join(map(_escaped, parts)))


def write(line: str = "", *, err: bool = False, coloured: bool | None = None) -> None:
    """Write one line. Styles are left out where the stream is no terminal, unless it is to be `coloured`."""
    click.echo(_escaped(line), err=err, color=coloured)


def write_all(lines: Iterable[str]) -> None:
    """Write lines to standard output."""
    for line in lines:
        write(line)


def write_document(text: str, form: escaping.Form) -> None:
    """Write JSON or YAML of any number of lines, what is not shown as it is as escapes of that format."""
    click.echo(escaping.escape_document(text, form), nl=not text.endswith("\n"))


def _escaped(text: str) -> Styled:
    return text if isinstance(text, Styled) else Styled(escaping.escape(text))
