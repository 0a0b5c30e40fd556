"""`registry-webhook doctor`."""

import difflib
import functools
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.options import cluster_read_options, load_options
from webhook.config.effective import EffectiveConfig
from webhook.constants import DOCS
from webhook.diagnostics.doctor import analysis, collect, text
from webhook.kube import installed_config
from webhook.kube.access import Access
from webhook.output.finding_codes import Code
from webhook.output.findings import Mark
from webhook.output.table import Form


class CodeType(click.ParamType[Code]):
    """The code of a finding, in upper or lower case."""

    name = "CODE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Code:
        try:
            return next(code for code in Code if code == str(value).upper())
        except StopIteration:
            similar = difflib.get_close_matches(str(value).upper(), list(Code), 1)
            suggestion = f", did you mean {similar[0]}?" if similar else f", see {DOCS}/reference/findings.md"
            self.fail(f"{value!r} is not the code of a finding{suggestion}", param, ctx)


@click.command(
    "doctor",
    epilog="""\b
Examples:
  registry-webhook doctor
  registry-webhook doctor --verbose
  registry-webhook doctor --output json
  registry-webhook doctor --ignore RW-WEBHOOK-TIMEOUT

\b
Exit status: 0 no errors (there may be warnings), 1 errors, 2 no errors, but some checks could not be made.
""",
)
@click.option(
    "--ignore",
    type=CodeType(),
    multiple=True,
    help="Ignore findings with this code. Can be repeated.",
)
@click.option("--verbose", "-v", is_flag=True, help="Also show passed checks and links to the documentation.")
@cluster_read_options
def command(
    ignore: tuple[Code, ...],
    verbose: bool,  # noqa: FBT001 - click passes it by name
    access: Access,
    installation_namespace: str | None,
    config: Path | None,
    output: Form,
) -> int:
    """Check the installation and report problems, with what to do about each.

    Checks the configuration, the webhook configuration, the Deployment, the certificate, permissions, the credential,
    pull secrets and image pulls by nodes, and creates a Pod in a dry run. Nothing is written, and the credential is not
    read.
    """
    written = None if config is None else load_options(config).configuration
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        settings = None if written is None else EffectiveConfig(written.at(names), str(config))
        report = analysis.report(collect.collect(reader, names, settings, datetime.now(UTC)), ignore)
    cluster.show(report, functools.partial(text.lines, verbose=verbose), output)
    marks = {finding.mark for finding in report.findings}
    return EXIT_FOUND if Mark.ERROR in marks else EXIT_ERROR if Mark.UNKNOWN in marks else EXIT_OK
