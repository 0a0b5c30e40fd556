"""`registry-webhook plan`."""

from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.command import Command
from webhook.cli.options import cluster_read_options, config_name, load_options, namespace_options, selector_option
from webhook.constants import InstallationNames
from webhook.diagnostics.assumed_config import InstalledConfig
from webhook.diagnostics.plan import collect, text
from webhook.kube import client, installed_config
from webhook.kube.access import Access
from webhook.kube.reader import Reader
from webhook.output.table import Form


@click.command(
    "plan",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook plan team-a
  registry-webhook plan team-a --selector app=web
  registry-webhook plan --all-namespaces --output json
  registry-webhook plan team-a --config config.yaml    # also ask the registry, with the credential of this file

Exit status: 0 if the namespace can be opted in, 1 if it cannot, or if an image is missing from the registry or cannot
be pulled, 2 after an error.
""",
)
@namespace_options("that of the kubeconfig context")
@selector_option("workloads")
@click.option(
    "--ask/--no-ask",
    default=True,
    show_default=True,
    help="Ask the registry for the images, if a credential is configured.",
)
@cluster_read_options
def command(
    namespace: str | None,
    all_namespaces: bool,  # noqa: FBT001 - click passes it by name
    selector: str,
    ask: bool,  # noqa: FBT001
    access: Access,
    installation_namespace: str | None,
    config: Path | None,
    output: Form,
) -> int:
    """Show what opting in a namespace would change, before you label it.

    The result lists the workloads, their images before and after, the commands to run, and the images that are missing
    from the registry. The registry is asked with the credential in --config FILE or in the environment.
    """
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, installation_namespace)
        installed = _configuration(reader, names, config)
        only = None if all_namespaces else namespace or client.current_namespace(access)
        plan = collect.plan(reader, installed, only, selector, ask=ask)
    cluster.show(plan, text.lines, output)
    return cluster.EXIT_FOUND if text.obstacles(plan, whole=all_namespaces) else cluster.EXIT_OK


def _configuration(reader: Reader, names: InstallationNames, config: Path | None) -> InstalledConfig:
    own = load_options(config).configuration
    if config is not None:
        return InstalledConfig(own.at(names), config_name(config))
    return collect.installed_configuration(reader, names, own)
