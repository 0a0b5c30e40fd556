"""Text that is escaped and wrapped at the width of the screen."""

import textwrap
from collections.abc import Iterator

from webhook.log.escaping import escape_ascii, truncate
from webhook.output.terminal import Screen, Styled, bold, join

#: Text is not wrapped if fewer characters than these are left for it.
NARROWEST = 24
#: Limit of characters of a paragraph, which may quote a foreign string.
_LIMIT = 4096


def wrapped(text: str, screen: Screen, indent: str = "  ", *, first: str | None = None) -> Iterator[Styled]:
    """Yield the lines of a paragraph with an indentation, by default the same for the first line.

    Characters that are not ASCII become escapes, so that every character is one column wide. Text with a URL overflows
    a narrow screen, because a broken URL cannot be copied.
    """
    escaped = cut(text, _LIMIT)
    room = 0 if screen.width is None else screen.width - len(indent)
    lines = [escaped]
    if room >= NARROWEST:
        lines = textwrap.wrap(escaped, room, break_on_hyphens=False, break_long_words="://" not in escaped) or lines
    for number, line in enumerate(lines):
        yield join(indent if first is None or number else first, line)


def heading(text: str, screen: Screen) -> Iterator[Styled]:
    """Yield the lines of a heading in bold."""
    return (bold(line, screen) for line in wrapped(text, screen, first=""))


def cut(text: str, limit: int) -> str:
    """Escape to ASCII and truncate. Cut before escaping, because the rest may be long."""
    return truncate(escape_ascii(text[: limit + 1]), limit)
