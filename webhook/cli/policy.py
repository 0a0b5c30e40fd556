"""`registry-webhook policy`."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from webhook.admission_policy.model import Generated
from webhook.cli import cluster
from webhook.cli.options import cluster_options, config_option, default_installation_option, load_options, together
from webhook.kube import installed_config
from webhook.kube.access import Access
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


def _options(function: Callable[..., Generated]) -> Callable[..., None]:
    """Add the options of both commands, pass the configuration to the command and print its result."""

    @functools.wraps(function)
    @click.pass_context
    def run(call: click.Context, /, output: str, from_cluster: bool, **options: Any) -> None:  # noqa: FBT001
        from webhook.output import policy_yaml

        own = {name: options.pop(name) for name in ("installation_namespace", "config", "access")}
        generated = function(_of_cluster(call, **own) if from_cluster else _of_file(call, **own), **options)
        if output == "json":
            click.echo(
                json.dumps(
                    {"apiVersion": "v1", "kind": "List", "items": [generated.policy, generated.binding]}, indent=2
                )
            )
        else:
            click.echo(policy_yaml.written(generated, f"policy {call.info_name}"), nl=False)

    output = click.option(
        "--output",
        "-o",
        type=click.Choice(["yaml", "json"]),
        default="yaml",
        show_default=True,
        help="YAML says what each part is; JSON is a List.",
    )
    from_cluster = click.option(
        "--from-cluster",
        is_flag=True,
        help="Use the installation's configuration: its ConfigMap, and the variables of its Deployment. Those of the "
        "environment do not count then.",
    )
    return together(output, from_cluster, default_installation_option, config_option, cluster_options)(run)


@command.command()
@_options
def mutate(settings: Configuration) -> Generated:
    """Print a MutatingAdmissionPolicy that does to a Pod what the webhook does, and its binding."""
    from webhook.admission_policy import mutate as mutating

    return mutating.policy(settings)


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
@_options
def guard(settings: Configuration, action: Literal["Deny", "Warn", "Audit"], *, only_private: bool) -> Generated:
    """Print a ValidatingAdmissionPolicy that finds Pods whose images were not rewritten, and its binding."""
    from webhook.admission_policy import guard as validating

    return validating.policy(settings, action, only_private=only_private)


def _of_file(call: click.Context, installation_namespace: str, config: Path | None, **_cluster: Any) -> Configuration:
    """Load the configuration from a file and the environment. Raises `ConfigurationError` or `FileError`."""
    if any(_is_given(call, name) for name in Access._fields):
        raise click.UsageError("--kubeconfig and the other connection options require --from-cluster")
    return load_options(config, installation_namespace).configuration


def _of_cluster(call: click.Context, installation_namespace: str, access: Access, **_file: Any) -> Configuration:
    """Load the configuration of an installation. Raises `ConfigurationError` or `ClusterError`."""
    if _is_given(call, "config"):
        raise click.UsageError("either --config FILE or --from-cluster")
    is_default = call.get_parameter_source("installation_namespace") is ParameterSource.DEFAULT
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, None if is_default else installation_namespace)
        return installed_config.load_config(installed_config.read_objects(reader, names)).configuration


def _is_given(call: click.Context, name: str) -> bool:
    return call.get_parameter_source(name) is ParameterSource.COMMANDLINE
