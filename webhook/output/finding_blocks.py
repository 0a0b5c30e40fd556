"""Findings as lines for a terminal: a block for each problem, and a table of the others."""

import textwrap
from collections.abc import Iterable, Iterator

from webhook.log.escaping import escape_ascii, truncate
from webhook.output import table
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import RED, YELLOW, Screen, Styled, join, styled

_INDENT, _COMMAND_INDENT = "  ", "    "
#: Limit of characters of a message or a hint, which may quote a foreign string.
_LIMIT = 4096
#: Text is not wrapped if fewer characters than these are left for it.
_NARROWEST = 24
_HEADS = {
    Mark.ERROR: ("error", RED),
    Mark.FAIL: ("fail", RED),
    Mark.WARNING: ("warning", YELLOW),
}


def problems(findings: Iterable[Finding], screen: Screen, *, verbose: bool = False) -> Iterator[str]:
    """Yield a block for each error and warning, after a blank line; with `verbose`, with its documentation.

    Commands are never wrapped, so that they can be copied.
    """
    for finding in findings:
        if finding.mark not in _HEADS:
            continue
        head, style = _HEADS[finding.mark]
        yield ""
        yield join(styled(f"{head}:", style, screen), f" {finding.subject} ({finding.code})")
        yield from wrapped(finding.message, screen)
        if finding.hint:
            yield from wrapped(f"hint: {finding.hint}", screen)
        yield from (join(_COMMAND_INDENT, command) for command in finding.commands)
        if verbose:
            yield join(_INDENT, finding.documentation)


def rows(findings: Iterable[Finding], mark: Mark, screen: Screen) -> Iterator[str]:
    """Yield a table of the findings with a mark, in one line each, after a blank line."""
    found = [(finding.mark, finding.code, finding.message) for finding in findings if finding.mark is mark]
    if found:
        yield ""
        yield from table.table(found, screen)


def wrapped(text: str, screen: Screen, indent: str = _INDENT) -> Iterator[Styled]:
    """Yield the lines of a paragraph, indented and wrapped at the width of the screen."""
    escaped = truncate(escape_ascii(text[: _LIMIT + 1]), _LIMIT)
    room = 0 if screen.width is None else screen.width - len(indent)
    lines = textwrap.wrap(escaped, room, break_on_hyphens=False) if room >= _NARROWEST else [escaped]
    return (join(indent, line) for line in lines)
