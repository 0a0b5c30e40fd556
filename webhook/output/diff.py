"""Unified diffs of text before and after a change."""

import difflib
from collections.abc import Iterator

from webhook.output.terminal import BOLD, CYAN, DIM, GREEN, RED, Screen, Styled, styled

_STYLES = (("---", BOLD), ("+++", BOLD), ("@@", CYAN), ("-", RED), ("+", GREEN), ("#", DIM))


def unified(before: str, after: str, name: str, context: int = 3) -> Iterator[str]:
    """Return the lines of a unified diff of two strings, both called `name`; none if they are equal.

    It can be applied with `patch` or `git apply`.
    """
    for line in difflib.unified_diff(_lines(before), _lines(after), name, name, n=context):
        yield line.removesuffix("\n")
        if not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _lines(text: str) -> list[str]:
    """Split into lines with their ends. A carriage return stays, so that the diff of a file from Windows applies."""
    lines = text.split("\n")
    return [*(f"{line}\n" for line in lines[:-1]), *lines[-1:]] if lines[-1] else [f"{line}\n" for line in lines[:-1]]


def colored(line: str, screen: Screen) -> Styled:
    """Color a line of a diff by its first characters. Tabs and line ends are kept, so that the diff can be applied."""
    style = next((style for start, style in _STYLES if line.startswith(start)), None)
    return styled(line, style, screen, is_document=True)
