"""Options and input that several commands share."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from webhook.config import files
from webhook.config.listen_address import Address
from webhook.config.load import Loaded, load
from webhook.constants import DEFAULT_NAMESPACE, NAMESPACE_VARIABLE

CONFIG_VARIABLE = "REGISTRY_WEBHOOK_CONFIG"

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>[0-9]{1,5})")
_PORTS = 65536
#: Bytes of a manifest.
_INPUT_LIMIT = 64 * 1024 * 1024

_Function = TypeVar("_Function", bound=Callable[..., Any])


class AddressType(click.ParamType[Address]):
    """A HOST:PORT to listen on."""

    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        found = _ADDRESS.fullmatch(str(value))
        if found is None or int(found["port"]) >= _PORTS:
            self.fail(f"{value!r} is no HOST:PORT such as 127.0.0.1:8443, [::1]:8443 or :8443", param, ctx)
        return Address(found["six"] or found["host"], int(found["port"]))


def log_options(function: _Function) -> _Function:
    """Add `--log-level` and `--log-format`, as `log_level: str | None, log_format: log.Format`.

    The default is text, for users who run the command themselves; the manifests ask for JSON.
    """
    form = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How lines are written; json is an object a line.",
    )
    return click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="From which level on lines are written. Without it webhook.log_level says, and may change meanwhile.",
    )(form(function))


def config_option(function: _Function) -> _Function:
    """Add `--config FILE`, as `config: Path | None`."""
    return click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help=f"The configuration, YAML. Without it {CONFIG_VARIABLE} names one, and without that the built-in defaults "
        "hold. Environment variables win over the file.",
    )(function)


def cluster_options(function: _Function) -> _Function:
    """Add `--kubeconfig FILE` and `--context NAME`, as `kubeconfig: Path | None, context: str | None`."""
    context = click.option("--context", metavar="NAME", help="The kubeconfig's context to use.")
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="How to reach the cluster. Without it KUBECONFIG says, in a Pod its service account, else ~/.kube/config.",
    )(context(function))


def installation_option(function: _Function) -> _Function:
    """Add `--installation-namespace NAME`, as `installation_namespace: str | None`."""
    return click.option(
        "--installation-namespace",
        metavar="NAME",
        envvar=NAMESPACE_VARIABLE,
        help="The namespace that registry-webhook is installed in. Without it, it is looked for.",
    )(function)


def default_installation_option(function: _Function) -> _Function:
    """Add the same with a default for commands without a cluster, as `installation_namespace: str`."""
    return click.option(
        "--installation-namespace",
        metavar="NAME",
        envvar=NAMESPACE_VARIABLE,
        default=DEFAULT_NAMESPACE,
        show_default=True,
        help="The namespace that registry-webhook is installed in.",
    )(function)


def cluster_read_options(function: _Function) -> _Function:
    """Add the options of all commands that read a cluster.

    As `kubeconfig: Path | None, context: str | None, installation_namespace: str | None, config: Path | None,
    output: Form`.
    """
    return cluster_output_options("table", "json", "yaml")(function)


def cluster_output_options(*forms: str) -> Callable[[_Function], _Function]:
    """Add the same with these output formats, the first of which is the default."""
    config = click.option(
        "--config",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Decide by this configuration, YAML, instead of the installation's.",
    )
    output = click.option(
        "--output",
        "-o",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="For people, or for programs.",
    )
    return lambda function: cluster_options(installation_option(config(output(function))))


def namespace_option(function: _Function) -> _Function:
    """Add `--namespace NAME`, as `namespace: str | None`."""
    return click.option(
        "--namespace", "-n", metavar="NAME", help="The namespace. Without it the kubeconfig's, as kubectl has it."
    )(function)


def all_namespaces_option(function: _Function) -> _Function:
    """Add `--all-namespaces`, as `all_namespaces: bool`."""
    return click.option("--all-namespaces", "-A", is_flag=True, help="All namespaces.")(function)


def load_options(config: Path | None, installation_namespace: str | None = None) -> Loaded:
    """Load the configuration from a file and the environment. Raises `ConfigurationError` or `FileError`."""
    told = {NAMESPACE_VARIABLE: installation_namespace} if installation_namespace else {}
    return load(*files.configuration(config), {**os.environ, **told})


def read_input(name: str) -> bytes:
    """Read a file, or standard input for `-`. Raises `FileError`."""
    return sys.stdin.buffer.read() if name == "-" else files.read(Path(name), _INPUT_LIMIT)
