"""Options and input that several commands share."""

import functools
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
#: Limit in bytes of a manifest.
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


def together(*options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    """Return a decorator that adds several options, in the order in which `--help` shows them."""
    return lambda function: functools.reduce(lambda found, option: option(found), reversed(options), function)


#: `log_level: str | None, log_format: log.Format`. The default is text, for users who run the command themselves; the
#: manifests set JSON.
log_options = together(
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="From which level on lines are written. Without it webhook.log_level says, and may change meanwhile.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How lines are written; json is an object a line.",
    ),
)

#: `config: Path | None`
config_option = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar=CONFIG_VARIABLE,
    help=f"The configuration, YAML. Without it {CONFIG_VARIABLE} names one, and without that the built-in defaults "
    "hold. Environment variables win over the file.",
)

#: `kubeconfig: Path | None, context: str | None`
cluster_options = together(
    click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="How to reach the cluster. Without it KUBECONFIG says, in a Pod its service account, else ~/.kube/config.",
    ),
    click.option("--context", metavar="NAME", help="The kubeconfig's context to use."),
)

#: `installation_namespace: str | None`
installation_option = click.option(
    "--installation-namespace",
    metavar="NAME",
    envvar=NAMESPACE_VARIABLE,
    help="The namespace that registry-webhook is installed in. Without it, it is looked for.",
)

#: `installation_namespace: str`, for commands that may run without a cluster.
default_installation_option = click.option(
    "--installation-namespace",
    metavar="NAME",
    envvar=NAMESPACE_VARIABLE,
    default=DEFAULT_NAMESPACE,
    show_default=True,
    help="The namespace that registry-webhook is installed in.",
)

#: `namespace: str | None`
namespace_option = click.option(
    "--namespace", "-n", metavar="NAME", help="The namespace. Without it the kubeconfig's, as kubectl has it."
)

#: `all_namespaces: bool`
all_namespaces_option = click.option("--all-namespaces", "-A", is_flag=True, help="All namespaces.")


def cluster_output_options(*forms: str) -> Callable[[_Function], _Function]:
    """Add the options of all commands that read a cluster; the first of the output formats is the default.

    Passed as `kubeconfig: Path | None, context: str | None, installation_namespace: str | None, config: Path | None,
    output: str`.
    """
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
    return together(cluster_options, installation_option, config, output)


cluster_read_options = cluster_output_options("table", "json", "yaml")


def load_options(config: Path | None, installation_namespace: str | None = None) -> Loaded:
    """Load the configuration from a file and the environment. Raises `ConfigurationError` or `FileError`."""
    variables = {NAMESPACE_VARIABLE: installation_namespace} if installation_namespace else {}
    return load(*files.configuration(config), {**os.environ, **variables})


def read_input(name: str) -> bytes:
    """Read a file, or standard input for `-`. Raises `FileError`."""
    return sys.stdin.buffer.read() if name == "-" else files.read(Path(name), _INPUT_LIMIT)
