"""Describe what is wrong in invalid YAML, from the errors of libyaml and of PyYAML's own parser.

Nothing of the document is quoted, because it may contain a password.
"""

import re
from typing import NamedTuple

import yaml

NOT_UTF8, SAVE_AS_UTF8 = "not UTF-8 text", "save the file as UTF-8"
_TEMPLATE = re.compile(r"""^[^"'#\n]*\{\{""", re.MULTILINE)


#: A key or a list item without a space after its mark; not a URL.
_UNSPACED = re.compile(r"\s*(?:(-)[^\s-]|(?:-\s+)?[A-Za-z_]+:(?![\s/]|\Z))")


class Problem(NamedTuple):
    """What is wrong in a YAML document."""

    problem: str
    hint: str = ""
    line: int | None = None
    """From 1."""


#: Patterns for `CONTEXT: PROBLEM`, with what is wrong and what to do; the first that matches counts. LINE is where the
#: list, mapping or quoted string begins.
_PROBLEMS = (
    ("alias", "a value that begins with * must be in quotes", 'write it in quotes, such as "**/pause"'),
    ("anchor", "a value that begins with & must be in quotes", "write it in quotes"),
    (
        "directive|incompatible|duplicate tag",
        "a line that begins with % is a directive",
        "write the value in quotes, or remove the line",
    ),
    (r"\btag\b", "a value that begins with ! must be in quotes", "write it in quotes"),
    (
        "escape|hexdecimal",
        "unknown escape sequence in double quotes",
        r"use single quotes, or write \\ for a backslash",
    ),
    (
        "quoted scalar.*(?:end of stream|document)",
        "a quotation mark is not closed",
        "close the string that begins on line LINE",
    ),
    (
        "block scalar",
        "unexpected text after | or >",
        "write a value that begins with | or > in quotes",
    ),
    ("tab character", "tab used for indentation", "indent with spaces"),
    (
        "mapping values are not allowed",
        "unexpected colon",
        "write a value that contains a colon and a space in quotes, or check the indentation and the line above",
    ),
    (
        "sequence entries are not allowed",
        "unexpected list item",
        "begin the list on the line after its key",
    ),
    ("mapping keys are not allowed", "unexpected ?", "write a value that begins with ? in quotes"),
    ("simple key", "expected a colon after a key", "write a key, a colon, a space and the value"),
    ("unexpected ':'", "unexpected colon in brackets or braces", "write the value in quotes"),
    (r"',' or '\]'", "expected , or ]", "close the list that begins on line LINE"),
    (r"',' or '\}'", "expected , or }", "close the mapping that begins on line LINE"),
    (
        "block (collection|sequence)",
        "expected a list item",
        "indent all items of the list that begins on line LINE alike",
    ),
    (
        "block mapping",
        "expected a key",
        "indent all keys of the mapping that begins on line LINE alike, and quote values with special characters",
    ),
    ("node content", "expected a value", "write values with special characters in quotes"),
    (
        "document start",
        "unexpected text after the end of the document",
        "remove it, or indent it as part of the value above",
    ),
)
_CANNOT_START = "cannot start any token"


def describe(error: yaml.YAMLError | UnicodeError, text: str) -> Problem:
    """Return what is wrong in `text`, which PyYAML could not parse."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return _unreadable(error, text)
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    template = template_line(text, line)
    if template is not None:
        return unrendered(template)
    message = f"{error.context or ''}: {error.problem or ''}"
    last_line = text.rstrip().count("\n") + 1
    is_at_end = line is not None and line > last_line
    line = last_line if is_at_end else line
    if is_at_end and "node content" in message:
        return Problem("invalid YAML: unexpected end of the file", "close all brackets and braces", last_line)
    if _CANNOT_START in message:
        return _cannot_start(text, mark)
    if "mapping values" in message or "simple key" in message:
        unspaced = _unspaced(text, line)
        if unspaced is not None:
            return unspaced
    for pattern, problem, hint in _PROBLEMS:
        if re.search(pattern, message):
            begin = line if error.context_mark is None else error.context_mark.line + 1
            where = begin if is_at_end or "quotation" in problem else line
            return Problem(f"invalid YAML: {problem}", hint.replace("LINE", str(begin)), where)
    return Problem("invalid YAML", "write values with special characters in quotes", line)


def unrendered(line: int | None) -> Problem:
    """Return the problem with a template of Helm or Go, which is not YAML before it is rendered."""
    problem = "this looks like a template that has not been rendered"
    return Problem(problem, "render it first, for example with helm template", line)


def template_line(text: str, last: int | None = None) -> int | None:
    """Return the first line, up to the line `last`, that has `{{` before any quotation mark or comment."""
    found = _TEMPLATE.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.end()) + 1
    return line if last is None or line <= last else None


def _unspaced(text: str, line: int | None) -> Problem | None:
    """Return the problem with `key:value` or `-item` on this line or the one before it; None if there is none.

    YAML reads both as plain text, which goes on until a colon with a space.
    """
    last = line or 0
    for number, written in enumerate(text.split("\n")[max(last - 2, 0) : last], max(last - 1, 1)):
        found = _UNSPACED.match(written)
        if found is not None:
            what = "colon" if found[1] is None else "-"
            return Problem(f"invalid YAML: no space after the {what}", f"write a space after the {what}", number)
    return None


def _cannot_start(text: str, mark: yaml.Mark | None) -> Problem:
    line = None if mark is None else mark.line + 1
    character = ""
    if mark is not None:
        written = text.split("\n")[mark.line] if mark.line <= text.count("\n") else ""
        character = written[mark.column : mark.column + 1]
    if character == "\t":
        return Problem("invalid YAML: tab used for indentation", "indent with spaces", line)
    what = character if character in tuple("@`%,") else "a special character"
    return Problem(f"invalid YAML: a value that begins with {what} must be in quotes", "write it in quotes", line)


def _unreadable(error: yaml.YAMLError | UnicodeError, text: str) -> Problem:
    if not isinstance(error, yaml.reader.ReaderError) or "not allowed" not in error.reason:
        return Problem(NOT_UTF8, SAVE_AS_UTF8)
    line = text[: error.position].count("\n") + 1
    return Problem(f"contains the control character U+{int(error.character):04X}", "remove it", line)
