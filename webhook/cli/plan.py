"""`registry-webhook plan`."""

from pathlib import Path

import click

from webhook.cli import cluster
from webhook.cli.options import cluster_read_options, load_options, namespace_options, selector_option
from webhook.constants import InstallationNames
from webhook.diagnostics.assumed_config import InstalledConfig
from webhook.diagnostics.plan import collect, text
from webhook.kube import client, installed_config
from webhook.kube.access import Access
from webhook.kube.reader import Reader
from webhook.output.table import Form


@click.command(
    "plan",
    epilog="""\b
Examples:
  registry-webhook plan --namespace team-a
  registry-webhook plan --all-namespaces --output json
  REGISTRY=OPENCTI__DAEMON__REGISTRY
  env ${REGISTRY}__SERVER=registry.example.com ${REGISTRY}__USERNAME=me ${REGISTRY}__PASSWORD=... \\
    registry-webhook plan -n team-a

\b
Exit status: 0 nothing stands against it, 1 an image is not in the registry or cannot be pulled, or the namespace
cannot be opted in, 2 it could not be done.
""",
)
@namespace_options("Default: that of the kubeconfig's context.")
@selector_option("workloads")
@click.option("--ask/--no-ask", default=True, help="Ask the registry for the images, if there is a credential for it.")
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
    """Show what opting a namespace in would change, before it is labelled.

    Which workloads, which of their images and into what, what brings it about, and which of these images the registry
    does not have. It is asked with the credential that --config FILE or the environment has, as `refresh` reads it.
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
        return InstalledConfig(own.at(names), str(config))
    return collect.installed_configuration(reader, names, own)
