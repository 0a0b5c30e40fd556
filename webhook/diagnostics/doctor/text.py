"""The doctor's report as lines for a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.doctor.analysis import Report
from webhook.output import finding_blocks, terminal
from webhook.output.terminal import Screen


def lines(report: Report, screen: Screen, *, verbose: bool = False) -> Iterator[str]:
    """Yield the summary and the problems, and with `verbose` also documentation and passed checks."""
    yield terminal.bold(report.summary, screen)
    yield from finding_blocks.problems(report.findings, screen, verbose=verbose)
    if verbose:
        yield from finding_blocks.passed(report.findings, screen)
