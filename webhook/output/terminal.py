"""Lines for a terminal or a file. Strings that this module has not styled are escaped when they are written.

An f-string makes a `Styled` string a plain one, which is escaped: its style is lost, but no control character is
written.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from typing import NamedTuple

import click

from webhook.log import escaping

RED, GREEN, YELLOW, CYAN, BOLD, DIM = (f"\x1b[{number}m" for number in (31, 32, 33, 36, 1, 2))
_PLAIN = "\x1b[0m"


class Screen(NamedTuple):
    """The properties of the output."""

    width: int | None = None
    """In characters; None for a file or a pipe."""
    colored: bool = False


def screen() -> Screen:
    """Return the properties of standard output; a file or a pipe has no width, and NO_COLOR turns colors off."""
    if not sys.stdout.isatty():
        return Screen()
    return Screen(shutil.get_terminal_size().columns, "NO_COLOR" not in os.environ)


class Styled(str):
    """A line that is escaped already and may hold styles. Only this module creates it."""

    __slots__ = ()


def styled(text: str, style: str | None, screen: Screen) -> Styled:
    """Escape `text` and, if the screen has colors, add a style."""
    escaped = _escaped(text)
    return Styled(f"{style}{escaped}{_PLAIN}") if screen.colored and style else escaped


def bold(text: str, screen: Screen) -> Styled:
    """Style a line as bold."""
    return styled(text, BOLD, screen)


def join(*parts: str) -> Styled:
    """Concatenate parts of a line."""
    return Styled("".join(map(_escaped, parts)))


def write(line: str = "", *, err: bool = False, colored: bool | None = None) -> None:
    """Write one line. Without `colored`, styles are removed if the stream is not a terminal."""
    click.echo(_escaped(line), err=err, color=colored)


def error(message: str, hint: str = "") -> None:
    """Write `error: <message>` and, if there is one, `hint: <hint>` to standard error."""
    _problem("error", message, hint)


def warning(message: str, hint: str = "") -> None:
    """Write `warning: <message>` and, if there is one, `hint: <hint>` to standard error."""
    _problem("warning", message, hint)


def _problem(severity: str, message: str, hint: str) -> None:
    write(f"{severity}: {message}", err=True)
    if hint:
        write(f"hint: {hint}", err=True)


def write_all(lines: Iterable[str]) -> None:
    """Write lines to standard output."""
    for line in lines:
        write(line)


def write_document(text: str, form: escaping.Form) -> None:
    """Write JSON or YAML; characters that a terminal does not show become escapes of that format."""
    click.echo(escaping.escape_document(text, form), nl=not text.endswith("\n"))


def _escaped(text: str) -> Styled:
    return text if isinstance(text, Styled) else Styled(escaping.escape(text))
