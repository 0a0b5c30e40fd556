"""Explanations as lines for a terminal: the verdict first, then every step."""

from collections.abc import Iterable, Iterator

from webhook.diagnostics.explain.verdict import Explanation
from webhook.output import table
from webhook.output.terminal import Screen


def lines(explanations: Iterable[Explanation], screen: Screen) -> Iterator[str]:
    """Yield the lines, with an empty one between explanations."""
    for number, explanation in enumerate(explanations):
        if number:
            yield ""
        yield from table.paragraph(str(explanation), screen)
        if explanation.hint:
            yield from table.paragraph(f"-> {explanation.hint}", screen)
        yield ""
        yield from table.findings(explanation.steps, screen)
