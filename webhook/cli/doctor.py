"""`registry-webhook doctor`."""

from datetime import UTC, datetime
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.options import cluster_read_options, load_options
from webhook.config.effective import EffectiveConfig
from webhook.diagnostics.doctor import analysis, collect, text
from webhook.kube import installed_config
from webhook.kube.access import Access
from webhook.output.findings import Mark
from webhook.output.table import Form


@click.command(
    "doctor",
    epilog="""\b
Examples:
  registry-webhook doctor
  registry-webhook doctor --context production --output json

\b
Exit status: 0 nothing fails (warnings are printed), 1 something fails, 2 nothing is found to fail, but not everything
could be looked at.
""",
)
@cluster_read_options
def command(
    access: Access,
    installation_namespace: str | None,
    config: Path | None,
    output: Form,
) -> int:
    """Check the installation from end to end, and say what is wrong, worst first, and what to do about it.

    It looks at the configuration, the webhook configuration, the webhook and its certificate, the rights and what
    bounds them, the credential and the pull secrets, what nodes say of pulls, and tries a Pod (a server dry run).
    Nothing is written, and no credential is read.
    """
    written = None if config is None else load_options(config).configuration
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        settings = None if written is None else EffectiveConfig(written.at(names), str(config))
        report = analysis.report(collect.collect(reader, names, settings, datetime.now(UTC)))
    cluster.show(report, text.lines, output)
    marks = {finding.mark for finding in report.findings}
    return EXIT_FOUND if Mark.ERROR in marks else EXIT_ERROR if Mark.UNKNOWN in marks else EXIT_OK
