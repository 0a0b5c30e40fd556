"""The doctor's report as lines for a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.doctor.analysis import Report
from webhook.output import table, terminal
from webhook.output.terminal import Screen


def lines(report: Report, screen: Screen) -> Iterator[str]:
    """Yield the summary and the findings."""
    yield terminal.bold(report.summary, screen)
    yield from table.findings(report.findings, screen)
