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
from webhook.kube.access import Access

CONFIG_VARIABLE = "REGISTRY_WEBHOOK_CONFIG"

_DURATION = re.compile(
    r"([0-9]+(?:\.[0-9]+)?)|(?=[0-9])(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?", re.ASCII
)
#: A label selector: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
_KEY, _VALUE = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?", r"[A-Za-z0-9_.-]*"
_REQUIREMENT = rf"\s*(?:!?{_KEY}|{_KEY}\s*(?:==?|!=)\s*{_VALUE}|{_KEY}\s+(?:not)?in\s*\([\sA-Za-z0-9_.,-]+\))\s*"
_SELECTOR = re.compile(rf"{_REQUIREMENT}(?:,{_REQUIREMENT})*|", re.ASCII)
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


class DurationType(click.ParamType[float]):
    """Seconds, written as kubectl writes a duration: `30s`, `1m30s`, or a number of seconds."""

    name = "DURATION"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = _DURATION.fullmatch(str(value))
        if found is None:
            self.fail(f"must be a duration such as 30s or 2m, or a number of seconds, not {value!r}", param, ctx)
        number, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return number + 3600 * hours + 60 * minutes + seconds


class SelectorType(click.ParamType[str]):
    """A label selector, checked here because the API server's error would be reported once for each list."""

    name = "SELECTOR"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _SELECTOR.fullmatch(str(value)):
            self.fail(f"must be a label selector such as app=web,tier!=db, not {value!r}", param, ctx)
        return str(value)


_CLUSTER_OPTIONS = (
    click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Kubeconfig file. Default: $KUBECONFIG, then the ServiceAccount in a Pod, then ~/.kube/config.",
    ),
    click.option("--context", metavar="NAME", help="Kubeconfig context. Default: the current context."),
    click.option("--cluster", metavar="NAME", help="Kubeconfig cluster. Default: that of the context."),
    click.option("--user", metavar="NAME", help="Kubeconfig user. Default: that of the context."),
    click.option("--as", "impersonate", metavar="USER", help="User or ServiceAccount to impersonate."),
    click.option("--as-group", "groups", metavar="GROUP", multiple=True, help="Group to impersonate. Repeatable."),
    click.option(
        "--request-timeout",
        type=DurationType(),
        help="Time limit of each request to the API server, for example 30s; 0 means none. Default: 10s for most.",
    ),
)


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add kubectl's connection options, passed as `access: Access`."""

    @functools.wraps(function)
    def run(*positional: Any, **options: Any) -> Any:
        access = Access(**{name: options.pop(name) for name in Access._fields})
        if access.groups and access.impersonate is None:
            raise click.UsageError("--as-group requires --as")
        return function(*positional, access=access, **options)

    return together(*_CLUSTER_OPTIONS)(run)


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
    "--namespace", "-n", metavar="NAMESPACE", help="Namespace. Default: that of the kubeconfig's context."
)


def namespace_options(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add an argument and an option for one namespace, and `--all-namespaces`; `default` ends the option's help.

    Passed as `namespace: str | None, all_namespaces: bool`, of which at most one is set.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*, argument: str | None, namespace: str | None, all_namespaces: bool, **options: Any) -> Any:
            given = dict.fromkeys(one for one in (argument, namespace) if one is not None)
            if len(given) > 1:
                raise click.UsageError(f"two namespaces given: {' and '.join(given)}")
            if given and all_namespaces:
                raise click.UsageError(f"--all-namespaces excludes the namespace {next(iter(given))}")
            return function(namespace=next(iter(given), None), all_namespaces=all_namespaces, **options)

        return together(
            click.argument("argument", metavar="[NAMESPACE]", required=False),
            click.option("--namespace", "-n", metavar="NAMESPACE", help=f"The same as the argument. {default}"),
            click.option("--all-namespaces", "-A", is_flag=True, help="Include all namespaces."),
        )(run)

    return decorate


def selector_option(objects: str) -> Callable[[_Function], _Function]:
    """Add `--selector`, passed as `selector: str`."""
    return click.option(
        "--selector",
        "-l",
        type=SelectorType(),
        default="",
        help=f"Only {objects} with these labels, for example app=web,tier!=db.",
    )


def cluster_output_options(*forms: str) -> Callable[[_Function], _Function]:
    """Add the options of all commands that read a cluster; the first of the output formats is the default.

    Passed as `access: Access, installation_namespace: str | None, config: Path | None, output: str`.
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
