"""Explanations as lines for a terminal: the verdict, its cause and the remedy, then the steps."""

import textwrap
from collections.abc import Iterable, Iterator

from webhook.diagnostics.explain.verdict import Explanation
from webhook.log.escaping import escape_ascii, truncate
from webhook.output import table
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.terminal import Screen, bold, join, styled

_INDENT, _COMMAND_INDENT = "  ", "    "
#: Limit of characters of a sentence, which may quote a foreign string.
_LIMIT = 4096
#: Text is not wrapped on a screen that is narrower than this.
_NARROWEST = 24
#: Steps that fail because a Pod was not rewritten.
_CONSEQUENCES = frozenset({Code.SECRET_MISSING, Code.POD_SECRET_NOT_NAMED})


def lines(explanations: Iterable[Explanation], screen: Screen, *, verbose: bool = False) -> Iterator[str]:
    """Yield the lines, with an empty one between explanations. Steps that passed are shown with `verbose` only.

    Commands are never wrapped, so that they can be copied.
    """
    for number, explanation in enumerate(explanations):
        if number:
            yield ""
        yield from (bold(line, screen) for line in _wrapped("", str(explanation), screen))
        if explanation.cause:
            yield from _labelled("note" if explanation.mark is Mark.OK else "cause", explanation.cause, screen)
        if explanation.unchecked:
            yield from _labelled("not checked", explanation.unchecked, screen)
        if explanation.hint:
            yield from _labelled("hint", explanation.hint, screen)
        yield from (join(_COMMAND_INDENT, command) for command in explanation.commands)
        if explanation.mark is not Mark.OK:
            yield join(f"see: {explanation.documentation}")
        steps = explanation.steps if verbose else _unusual(explanation)
        if steps:
            yield ""
            yield from table.table([(step.mark, step.subject, step.message) for step in steps], screen)


def _unusual(explanation: Explanation) -> list[Finding]:
    """Return the steps that did not pass, except for those that the verdict is about."""
    hidden = {explanation.code, *_CONSEQUENCES}
    if explanation.code is Code.CONFIG_UNKNOWN:
        hidden.add(Code.IMAGE_RECORD)
    return [
        step
        for step in explanation.steps
        if step.mark not in {Mark.OK, Mark.UNKNOWN}
        and step.message not in explanation.cause
        and step.code not in hidden
    ]


def _labelled(label: str, text: str, screen: Screen) -> Iterator[str]:
    first, *more = _wrapped(f"{label}: ", text, screen)
    yield join(styled(f"{label}:", None, screen), first[len(label) + 1 :])
    yield from more


def _wrapped(label: str, text: str, screen: Screen) -> list[str]:
    escaped = label + truncate(escape_ascii(text[: _LIMIT + 1]), _LIMIT)
    if screen.width is None or screen.width < _NARROWEST:
        return [escaped]
    return textwrap.wrap(
        escaped,
        screen.width,
        subsequent_indent=_INDENT if label else "",
        break_on_hyphens=False,
        break_long_words=False,
    )
