"""Unified diffs of text before and after a change."""

import difflib
from collections.abc import Iterator

from webhook.output.terminal import BOLD, CYAN, DIM, GREEN, RED, Screen, Styled, styled

_STYLES = (("---", BOLD), ("+++", BOLD), ("@@", CYAN), ("-", RED), ("+", GREEN), ("#", DIM))


def unified(before: str, after: str, name: str, context: int = 3) -> Iterator[str]:
    """Return the lines of a unified diff of two strings, both called `name`; none if they are equal."""
    yield from difflib.unified_diff(_lines(before), _lines(after), name, name, n=context, lineterm="")


def _lines(text: str) -> list[str]:
    """Split into lines without line ends, which differ on Windows."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def colored(line: str, screen: Screen) -> Styled:
    """Color a line of a diff by its first characters."""
    return styled(line, next((style for start, style in _STYLES if line.startswith(start)), None), screen)
