"""`registry-webhook doctor`."""

import functools
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.cluster import EXIT_ERROR, EXIT_FOUND, EXIT_OK
from webhook.cli.command import Command
from webhook.cli.option_types import BadValue, similar_to
from webhook.cli.options import cluster_read_options, config_name, load_options
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
        upper = str(value).upper()
        for code in Code:
            if code == upper:
                return code
        similar = similar_to(upper, list(Code))
        raise BadValue(f"the code of a finding ({DOCS}/reference/findings.md)", value, param, ctx, similar)


@click.command(
    "doctor",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook doctor
  registry-webhook doctor --verbose
  registry-webhook doctor --output json
  registry-webhook doctor --ignore RW-WEBHOOK-TIMEOUT

Exit status: 0 if no check failed (there may be warnings), 1 if a check failed, 2 if no check failed but some could not
be made, or after an error.
""",
)
@click.option(
    "--ignore",
    type=CodeType(),
    multiple=True,
    help="Ignore findings with this code; can be repeated.",
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
    """Check the installation from end to end, and show each problem with a remedy, the most severe first.

    The checks cover the configuration, the webhook configuration, the webhook and its certificate, permissions and the
    policies that limit them, the credential, the pull secrets, and failed image pulls. A Pod is created with a server
    dry run. Nothing is written, and no credential is read.
    """
    written = None if config is None else load_options(config).configuration
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        settings = None if written is None else EffectiveConfig(written.at(names), config_name(config))
        report = analysis.report(collect.collect(reader, names, settings, datetime.now(UTC)), ignore)
    cluster.show(report, functools.partial(text.lines, verbose=verbose), output)
    marks = {finding.mark for finding in report.findings}
    return EXIT_FOUND if Mark.ERROR in marks else EXIT_ERROR if Mark.UNKNOWN in marks else EXIT_OK
