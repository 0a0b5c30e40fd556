"""Lines for a terminal or a file. Strings that this module has not styled are escaped when they are written.

An f-string makes a `Styled` string a plain one, which is escaped: its style is lost, but no control character is
written.
"""

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple, TextIO

import click
from click.globals import resolve_color_default

from webhook.log import escaping
from webhook.output import progress

RED, GREEN, YELLOW, CYAN, BOLD, DIM = (f"\x1b[{number}m" for number in (31, 32, 33, 36, 1, 2))
_PLAIN = "\x1b[0m"


class Screen(NamedTuple):
    """The properties of the output."""

    width: int | None = None
    """In characters; None for a file or a pipe."""
    colored: bool = False


def screen() -> Screen:
    """Return the properties of standard output; a file or a pipe has no width."""
    if not _is_terminal(sys.stdout):
        return Screen(None, is_colored(sys.stdout))
    import shutil  # noqa: PLC0415 - it imports all compression formats

    return Screen(shutil.get_terminal_size().columns, is_colored(sys.stdout))


def is_colored(stream: TextIO | None) -> bool:
    """Return whether a stream gets colors: the one decision of all commands.

    `--color always` and `never` are in the current click context. Otherwise the conventions of https://no-color.org,
    https://force-color.org and https://bixense.com/clicolors apply, in Python's own order.
    """
    chosen = resolve_color_default()
    if chosen is not None:
        return chosen
    variables = os.environ
    if variables.get("NO_COLOR") or variables.get("FORCE_COLOR") in {"0", "false"}:
        return False
    if variables.get("FORCE_COLOR") or variables.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return variables.get("TERM") != "dumb" and variables.get("CLICOLOR") != "0" and _is_terminal(stream)


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; Python has None for a closed one."""
    return stream is not None and stream.isatty()


class Styled(str):
    """A line that is escaped already and may hold styles. Only this module creates it."""

    __slots__ = ()


def styled(text: str, style: str | None, screen: Screen, *, is_document: bool = False) -> Styled:
    """Escape `text` and, if the screen has colors, add a style.

    In a line of a document, tabs and a carriage return at the end are not escaped.
    """
    line = text.removesuffix("\r") if is_document else text
    escaped = Styled("\t".join(map(_escaped, line.split("\t")))) if is_document else _escaped(line)
    return Styled((f"{style}{escaped}{_PLAIN}" if screen.colored and style else escaped) + text[len(line) :])


def bold(text: str, screen: Screen) -> Styled:
    """Style a line as bold."""
    return styled(text, BOLD, screen)


def join(*parts: str) -> Styled:
    """Concatenate parts of a line."""
    return Styled("".join(map(_escaped, parts)))


def write(line: str = "", *, err: bool = False) -> None:
    """Write one line, without its styles if the stream has no colors."""
    progress.clear()
    click.echo(_escaped(line), err=err, color=is_colored(sys.stderr if err else sys.stdout))


def error(message: str, hint: str = "") -> None:
    """Write `error: <message>` and, if there is one, `hint: <hint>` to standard error."""
    _problem("error", RED, message, hint)


def warning(message: str, hint: str = "") -> None:
    """Write `warning: <message>` and, if there is one, `hint: <hint>` to standard error."""
    _problem("warning", YELLOW, message, hint)


def hint(text: str) -> None:
    """Write `hint: <text>` to standard error."""
    _labelled("hint", CYAN, text)


def _problem(severity: str, style: str, message: str, remedy: str) -> None:
    _labelled(severity, style, message)
    if remedy:
        hint(remedy)


def _labelled(label: str, style: str, text: str) -> None:
    write(join(styled(f"{label}:", style, Screen(colored=is_colored(sys.stderr))), " ", text), err=True)


def write_all(lines: Iterable[str]) -> None:
    """Write lines to standard output."""
    for line in lines:
        write(line)


def write_document(text: str, form: escaping.Form) -> None:
    """Write JSON or YAML; characters that a terminal does not show become escapes of that format."""
    click.echo(escaping.escape_document(text, form), nl=not text.endswith("\n"))


def _escaped(text: str) -> Styled:
    return text if isinstance(text, Styled) else Styled(escaping.escape(text))
