"""`registry-webhook report`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from webhook.cli import cluster
from webhook.cli.command import Command
from webhook.cli.option_types import Choice
from webhook.cli.options import (
    cluster_output_options,
    config_name,
    load_options,
    namespace_options,
    selector_option,
)
from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.diagnostics import assumed_config
from webhook.diagnostics.assumed_config import InstalledConfig
from webhook.diagnostics.drift import text
from webhook.diagnostics.drift.analysis import report
from webhook.diagnostics.drift.collect import Scope, collect
from webhook.kube import client, installed_config
from webhook.kube.access import Access
from webhook.kube.reader import Reader
from webhook.output.table import Form


@click.command(
    "report",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook report
  registry-webhook report team-a --output yaml
  registry-webhook report --all-namespaces --output html > report.html    # one file, without external resources
  registry-webhook report --fail-on drift                                 # in a pipeline

Exit status: 0 if the report was printed, 1 with --fail-on drift if a Pod differs, 2 after an error.
""",
)
@namespace_options("all opted-in namespaces")
@selector_option("Pods")
@click.option("--fail-on", type=Choice(["drift"]), help="Exit with status 1 if a Pod differs.")
@cluster_output_options("table", "json", "yaml", "html")
def command(
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 - click passes it by name
    selector: str,
    fail_on: str | None,
    access: Access,
    installation_namespace: str | None,
    config: Path | None,
    output: Form | Literal["html"],
) -> int:
    """Find running Pods that the webhook would change if they were created now.

    The report lists images that would be rewritten, Pods without the pull secret, and Pods that were created while the
    webhook was unavailable, by namespace and owner. --all-namespaces includes namespaces that are not opted in.
    """
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        installed = _configuration(reader, names, config)
        settings = EffectiveConfig(installed.configuration, installed.origin)
        scope = Scope(namespace, client.current_namespace(access), selector, whole=all_namespaces)
        observed = collect(reader, names, settings, scope)
    observed = observed._replace(
        notes=(*installed.notes, *observed.notes), unread=(*installed.unread, *observed.unread)
    )
    found = report(settings, observed)
    if output == "html":
        from webhook.diagnostics.drift import page  # late, because loading Jinja2 takes 0.1 s

        click.echo(page.page(found, access.context or "", datetime.now(UTC)), nl=False)
    else:
        cluster.show(found, text.lines, output)
    return cluster.EXIT_FOUND if fail_on == "drift" and found.totals.drifted else cluster.EXIT_OK


def _configuration(reader: Reader, names: InstallationNames, config: Path | None) -> InstalledConfig:
    if config is None:
        return assumed_config.read(reader, names)
    return InstalledConfig(load_options(config).configuration.at(names), config_name(config))
