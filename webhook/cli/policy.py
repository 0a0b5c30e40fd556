"""`registry-webhook policy`."""

import json
from pathlib import Path
from typing import Literal, NamedTuple

import click
from click.core import ParameterSource

from webhook.admission_policy.model import Generated
from webhook.cli import cluster
from webhook.cli.options import cluster_options, config_option, default_installation_option, load_options
from webhook.errors import ClusterError
from webhook.kube import installed_config
from webhook.kube.unknown import Unknown
from webhook.settings import Configuration


@click.group(
    "policy",
    epilog="""\b
Examples:
  registry-webhook policy mutate --from-cluster | kubectl apply --server-side -f -
  registry-webhook policy guard --config config.yaml --action Warn | kubectl apply --server-side -f -
  registry-webhook policy guard --from-cluster --only-private | kubectl apply --server-side -f -
""",
)
def command() -> None:
    """Make admission policies of the configuration: the same rules, run by the API server itself.

    `mutate` takes the webhook's place, from Kubernetes 1.36 on. `guard` stands beside either, from 1.33 on.
    """


_output_option = click.option(
    "--output",
    "-o",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="YAML says what each part is; JSON is a List.",
)


_from_cluster_option = click.option(
    "--from-cluster",
    is_flag=True,
    help="Use the installation's configuration: its ConfigMap, and the variables of its Deployment. Those of the "
    "environment do not count then.",
)


@command.command()
@_output_option
@_from_cluster_option
@default_installation_option
@config_option
@cluster_options
@click.pass_context
def mutate(
    context_of_call: click.Context,
    output: str,
    from_cluster: bool,  # noqa: FBT001
    installation_namespace: str,
    config: Path | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Print a MutatingAdmissionPolicy that does to a Pod what the webhook does, and its binding."""
    from webhook.admission_policy import mutate as engine

    source = _Source(context_of_call, config, installation_namespace)
    settings = source.of_cluster(kubeconfig, context) if from_cluster else source.of_file()
    _print(engine.policy(settings), output, "policy mutate")


@command.command()
@click.option(
    "--action",
    type=click.Choice(["Deny", "Warn", "Audit"]),
    default="Deny",
    show_default=True,
    help="What becomes of such a Pod: it is refused, made with a warning, or made and noted in the audit log.",
)
@click.option(
    "--only-private",
    is_flag=True,
    help="Find as well every image that is neither on a private registry nor excluded: those that name another "
    "registry, image IDs, and those that are never pulled.",
)
@_output_option
@_from_cluster_option
@default_installation_option
@config_option
@cluster_options
@click.pass_context
def guard(
    context_of_call: click.Context,
    action: Literal["Deny", "Warn", "Audit"],
    only_private: bool,  # noqa: FBT001
    output: str,
    from_cluster: bool,  # noqa: FBT001
    installation_namespace: str,
    config: Path | None,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """Print a ValidatingAdmissionPolicy that finds Pods whose images were not rewritten, and its binding."""
    from webhook.admission_policy import guard as engine

    source = _Source(context_of_call, config, installation_namespace)
    settings = source.of_cluster(kubeconfig, context) if from_cluster else source.of_file()
    _print(engine.policy(settings, action, only_private=only_private), output, "policy guard")


class _Source(NamedTuple):
    """What a command was told of where its configuration is."""

    context: click.Context
    config: Path | None
    installation_namespace: str

    def of_file(self) -> Configuration:
        """Load a file with the variables of the environment. Raises `ConfigurationError` or `FileError`."""
        if self._is_given("kubeconfig") or self._is_given("context"):
            raise click.UsageError("--kubeconfig and --context go with --from-cluster")
        return load_options(self.config, self.installation_namespace).configuration

    def of_cluster(self, kubeconfig: Path | None, context: str | None) -> Configuration:
        """Load the configuration of an installation. Raises `ConfigurationError` or `ClusterError`."""
        if self._is_given("config"):
            raise click.UsageError("either --config FILE or --from-cluster")
        is_default = self.context.get_parameter_source("installation_namespace") is ParameterSource.DEFAULT
        with cluster.connected_reader(kubeconfig, context) as reader:
            names = installed_config.find_installation(reader, None if is_default else self.installation_namespace)
            found = installed_config.load_config(installed_config.read_objects(reader, names))
        if isinstance(found, Unknown):
            raise ClusterError(str(found))
        return found.configuration

    def _is_given(self, name: str) -> bool:
        return self.context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _print(made: Generated, output: str, command_name: str) -> None:
    from webhook.output import policy_yaml

    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": [made.policy, made.binding]}, indent=2))
    else:
        click.echo(policy_yaml.written(made, command_name), nl=False)
