"""What a text was and what it becomes, as a unified diff."""

import difflib
from collections.abc import Iterator

_RED, _GREEN, _CYAN, _BOLD, _DIM, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[36m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
_STYLES = (("---", _BOLD), ("+++", _BOLD), ("@@", _CYAN), ("-", _RED), ("+", _GREEN), ("#", _DIM))


def unified(before: str, after: str, name: str, context: int = 3) -> Iterator[str]:
    """Give the lines of a unified diff of two texts, both called `name`; none when they are equal."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, n=context, lineterm="")
    yield from lines


def coloured(line: str) -> str:
    """Colour a line of a diff for a terminal, by how it begins."""
    return next((f"{style}{line}{_PLAIN}" for start, style in _STYLES if line.startswith(start)), line)


def bold(text: str) -> str:
    """Make a text stand out on a terminal."""
    return f"{_BOLD}{text}{_PLAIN}"
