"""`registry-webhook policy`."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
from click.core import ParameterSource

from webhook.admission_policy.model import Generated
from webhook.cli import cluster
from webhook.cli.command import ConnectionOption, Group, Misuse, is_given
from webhook.cli.option_types import Choice, KubernetesVersionType
from webhook.cli.options import (
    cluster_options,
    config_option,
    default_installation_option,
    load_options,
    rules_hint,
    together,
)
from webhook.errors import KubernetesTooOld
from webhook.kube import installed_config
from webhook.kube.access import Access
from webhook.kubernetes_version import OLDEST, POLICY_GUARD, POLICY_MUTATE, KubernetesVersion
from webhook.output import terminal
from webhook.settings import Configuration

#: The first version of Kubernetes that accepts a command's policy, and what to use with older ones.
_NEEDS = {
    "mutate": (POLICY_MUTATE, f"use the webhook, which supports Kubernetes {OLDEST} or newer"),
    "guard": (
        POLICY_GUARD,
        "use the component fail-closed, with which no Pod is created while the webhook does not answer",
    ),
}


@click.group(
    "policy",
    cls=Group,
    epilog="""\b
Examples:
  registry-webhook policy mutate --from-cluster | kubectl apply --server-side -f -
  registry-webhook policy guard --config config.yaml --action Warn | kubectl apply --server-side -f -
  registry-webhook policy guard --from-cluster --only-private | kubectl apply --server-side -f -
""",
)
def command() -> None:
    """Generate admission policies from the configuration: the same rules, run by the API server itself.

    The policy of mutate replaces the webhook and requires Kubernetes 1.36. The policy of guard adds a check to the
    webhook or to mutate, and requires Kubernetes 1.33. With --from-cluster or --kubernetes-version, a policy that the
    cluster is too old for is not generated.
    """


class _Source(NamedTuple):
    """The configuration, and the version of the cluster that the policy is for."""

    settings: Configuration
    version: KubernetesVersion | None = None
    """None if it is not known."""
    origin: str = "--kubernetes-version"
    """Where the version comes from."""


def _options(function: Callable[..., Generated]) -> Callable[..., None]:
    """Add the options of both commands, pass the configuration to the command and print its result."""

    @functools.wraps(function)
    @click.pass_context
    def run(
        call: click.Context,
        /,
        output: str,
        from_cluster: bool,  # noqa: FBT001
        kubernetes_version: KubernetesVersion | None,
        **options: Any,
    ) -> None:
        from webhook.output import policy_yaml

        own = {name: options.pop(name) for name in ("installation_namespace", "config", "access")}
        source = _of_cluster(call, **own) if from_cluster else _Source(_of_file(call, **own))
        if kubernetes_version:
            source = _Source(source.settings, kubernetes_version)
        name = str(call.info_name)
        _check_version(name, source)
        settings = source.settings
        if not (settings.private_prefixes or options.get("only_private")):
            # A warning, because an installation may apply the policy first and configure it later.
            terminal.warning(
                "the policy has no effect: neither a registry server nor rules are configured",
                "set registry.server or webhook.rules in the ConfigMap of the installation"
                if from_cluster
                else rules_hint(own["config"], "--from-cluster"),
            )
        generated = function(settings, **options)
        if output == "json":
            click.echo(
                json.dumps(
                    {"apiVersion": "v1", "kind": "List", "items": [generated.policy, generated.binding]}, indent=2
                )
            )
        else:
            click.echo(policy_yaml.written(generated, f"policy {name}", _NEEDS[name][0]), nl=False)

    output = click.option(
        "--output",
        "-o",
        type=Choice(["yaml", "json"]),
        default="yaml",
        show_default=True,
        help="Output format; yaml has comments, json is one List.",
    )
    from_cluster = click.option(
        "--from-cluster",
        is_flag=True,
        help="Use the configuration of the installation, from its ConfigMap and Deployment, instead of a file and the "
        "environment.",
    )
    kubernetes_version = click.option(
        "--kubernetes-version",
        type=KubernetesVersionType(),
        help="Version of Kubernetes that the policy is for, such as 1.30. Default: with --from-cluster the cluster's, "
        "otherwise any.",
    )
    return together(
        output, from_cluster, kubernetes_version, default_installation_option, config_option, cluster_options
    )(run)


@command.command(
    short_help="Generate a policy that replaces the webhook",
    epilog="""\b
Examples:
  registry-webhook policy mutate --config config.yaml > policy.yaml
  registry-webhook policy mutate --from-cluster | kubectl apply --server-side -f -
""",
)
@_options
def mutate(settings: Configuration) -> Generated:
    """Print a MutatingAdmissionPolicy that changes Pods as the webhook does, and its binding."""
    from webhook.admission_policy import mutate as mutating

    return mutating.policy(settings)


@command.command(
    short_help="Generate a policy that checks that images are rewritten",
    epilog="""\b
Examples:
  registry-webhook policy guard --config config.yaml --action Warn > policy.yaml
  registry-webhook policy guard --from-cluster --only-private | kubectl apply --server-side -f -
""",
)
@click.option(
    "--action",
    type=Choice(["Deny", "Warn", "Audit"]),
    default="Deny",
    show_default=True,
    help="Result for such a Pod: it is denied, created with a warning, or created and recorded in the audit log.",
)
@click.option(
    "--only-private",
    is_flag=True,
    help="Also find every image that is neither on a private registry nor excluded: images of other registries, image "
    "IDs, and images that are never pulled.",
)
@_options
def guard(settings: Configuration, action: Literal["Deny", "Warn", "Audit"], *, only_private: bool) -> Generated:
    """Print a ValidatingAdmissionPolicy that finds Pods with images that were not rewritten, and its binding."""
    from webhook.admission_policy import guard as validating

    return validating.policy(settings, action, only_private=only_private)


def _check_version(command: str, source: _Source) -> None:
    """Raise `KubernetesTooOld` if the API server would reject the policy."""
    needed, hint = _NEEDS[command]
    if source.version and source.version < needed:
        raise KubernetesTooOld(
            f"policy {command} requires Kubernetes {needed} or newer, not {source.version}",
            where=source.origin,
            hint=hint,
        )


def _of_file(call: click.Context, installation_namespace: str, config: Path | None, **_cluster: Any) -> Configuration:
    """Load the configuration from a file and the environment. Raises `ConfigurationError` or `FileError`."""
    for option in call.command.params:
        if isinstance(option, ConnectionOption) and is_given(call, str(option.name)):
            raise click.UsageError(f"{option.opts[0]} requires --from-cluster", call)
    return load_options(config, installation_namespace).configuration


def _of_cluster(call: click.Context, installation_namespace: str, access: Access, **_file: Any) -> _Source:
    """Load the configuration of an installation, and its cluster's version.

    Raises `ConfigurationError` or `ClusterError`.
    """
    if is_given(call, "config"):
        raise Misuse("--config cannot be used with --from-cluster", "use one of them")
    is_default = call.get_parameter_source("installation_namespace") is ParameterSource.DEFAULT
    with cluster.connected_reader(access) as reader:
        names = installed_config.find_installation(reader, None if is_default else installation_namespace)
        version = reader.version()
        settings = installed_config.load_config(installed_config.read_objects(reader, names)).configuration
    return _Source(settings, KubernetesVersion.parse(version), "the version of the cluster")
