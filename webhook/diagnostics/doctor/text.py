"""The doctor's report as lines for a terminal."""

from collections.abc import Iterator

from webhook.diagnostics.doctor.analysis import Report
from webhook.errors import NO_PERMISSION
from webhook.output import finding_blocks
from webhook.output.findings import Mark
from webhook.output.paragraphs import heading, wrapped
from webhook.output.terminal import Screen


def lines(report: Report, screen: Screen, *, verbose: bool = False) -> Iterator[str]:
    """Yield the summary, problems and unknown results, and with `verbose` also documentation and passed checks."""
    yield from heading(report.summary, screen)
    yield from finding_blocks.problems(report.findings, screen, verbose=verbose)
    yield from finding_blocks.rows(report.findings, Mark.UNKNOWN, screen)
    if any(finding.message.startswith(NO_PERMISSION) for finding in report.findings):
        hint = "hint: ask an administrator of the cluster for these permissions, or to run doctor"
        yield from wrapped(hint, screen, "")
    if verbose:
        yield from finding_blocks.rows(report.findings, Mark.OK, screen)
