"""Explanations as lines for a terminal: the verdict, its cause and the remedy, then the steps."""

from collections.abc import Iterable, Iterator

from webhook.diagnostics.explain.verdict import Explanation
from webhook.output import table
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.output.paragraphs import heading, wrapped
from webhook.output.terminal import Screen, join

_COMMAND_INDENT = "    "
#: Steps that fail because a Pod was not rewritten.
_CONSEQUENCES = frozenset({Code.SECRET_MISSING, Code.POD_SECRET_NOT_NAMED})
#: Steps that make no difference in a namespace that is never selected.
_WITHOUT_EFFECT = frozenset(
    {Code.NAMESPACE_NOT_SELECTED, Code.NAMESPACE_EXCLUDED, Code.IMAGE_NOT_REWRITTEN, Code.IMAGE_UNCHANGED}
)


def lines(explanations: Iterable[Explanation], screen: Screen, *, verbose: bool = False) -> Iterator[str]:
    """Yield the lines, with an empty one between explanations. Steps that passed are shown with `verbose` only.

    Commands are never wrapped, so that they can be copied.
    """
    for number, explanation in enumerate(explanations):
        if number:
            yield ""
        yield from heading(str(explanation), screen)
        for label, text in (
            ("note" if explanation.mark is Mark.OK else "cause", explanation.cause),
            ("not checked", explanation.unchecked),
            ("hint", explanation.hint),
        ):
            if text:
                yield from wrapped(f"{label}: {text}", screen, first="")
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
    if explanation.code is Code.NAMESPACE_NEVER:
        hidden |= _WITHOUT_EFFECT
    return [
        step
        for step in explanation.steps
        if step.mark not in {Mark.OK, Mark.UNKNOWN}
        and step.message not in explanation.cause
        and step.code not in hidden
    ]
