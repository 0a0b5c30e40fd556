"""Findings as lines for a terminal: a block for each problem, and a table of the others."""

from collections.abc import Iterable, Iterator

from webhook.output import table
from webhook.output.findings import Finding, Mark
from webhook.output.paragraphs import wrapped
from webhook.output.terminal import RED, YELLOW, Screen, join, styled

_INDENT, _COMMAND_INDENT = "  ", "    "
_HEADS = {
    Mark.ERROR: ("error:", RED),
    Mark.FAIL: ("fail:", RED),
    Mark.WARNING: ("warning:", YELLOW),
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
        first, *more = wrapped(f"{head} {finding.subject} ({finding.code})", screen, first="")
        yield from (join(styled(head, style, screen), first[len(head) :]), *more)
        yield from wrapped(finding.message, screen)
        if finding.hint:
            yield from wrapped(f"hint: {finding.hint}", screen)
        yield from (join(_COMMAND_INDENT, command) for command in finding.commands)
        if verbose:
            yield join(_INDENT, "see: ", finding.documentation)


def rows(findings: Iterable[Finding], mark: Mark, screen: Screen) -> Iterator[str]:
    """Yield a table of the findings with a mark, in one line each, after a blank line."""
    found = [(finding.mark, finding.code, finding.message) for finding in findings if finding.mark is mark]
    if found:
        yield ""
        yield from table.table(found, screen)
