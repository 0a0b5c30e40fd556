"""Options and input that several commands share."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from webhook.cli.command import ConnectionOption, Misuse
from webhook.cli.option_types import BadValue, Choice, DurationType, LabelType, PathType, SelectorType
from webhook.config import files, shapes
from webhook.config.load import Loaded, load
from webhook.constants import DEFAULT_NAMESPACE, NAMESPACE_VARIABLE
from webhook.errors import FileError
from webhook.kube.access import Access
from webhook.output import invocation, terminal
from webhook.settings import Configuration

CONFIG_VARIABLE = "REGISTRY_WEBHOOK_CONFIG"

#: Limit in bytes of a manifest.
_INPUT_LIMIT = 64 * 1024 * 1024

_Function = TypeVar("_Function", bound=Callable[..., Any])


def together(*options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    """Return a decorator that adds several options, in the order in which `--help` shows them."""
    return lambda function: functools.reduce(lambda found, option: option(found), reversed(options), function)


#: `log_level: str | None, log_format: log.Format`. The default is text, for users who run the command themselves; the
#: manifests set JSON.
log_options = together(
    click.option(
        "--log-level",
        type=Choice(["debug", "info", "warning", "error"]),
        help="Minimum log level. Default: webhook.log_level, which can change at run time.",
    ),
    click.option(
        "--log-format",
        type=Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Log format; json writes one object per line.",
    ),
)

#: `config: Path | None`
config_option = click.option(
    "--config",
    metavar="FILE",
    type=PathType(),
    envvar=CONFIG_VARIABLE,
    help="Configuration file, YAML, or manifests with its ConfigMap; - reads standard input. Default: "
    f"${CONFIG_VARIABLE}, then the built-in defaults. Environment variables override the file.",
)


def _is_pipe(config: Path) -> bool:
    return str(config) == "-" or config.is_fifo()


def _refuse_pipe(ctx: click.Context, param: click.Parameter, config: Path | None) -> Path | None:
    if config is not None and _is_pipe(config):
        raise BadValue("a regular file, because it is read again when it changes", config, param, ctx)
    return config


#: `config: Path | None`, for processes that reload the file when it changes.
watched_config_option = click.option(
    "--config",
    metavar="FILE",
    type=PathType(),
    envvar=CONFIG_VARIABLE,
    callback=_refuse_pipe,
    help=f"Configuration file, YAML, reloaded when it changes. Default: ${CONFIG_VARIABLE}, then the built-in "
    "defaults. Environment variables override the file.",
)

_CONNECTION_OPTIONS = tuple(
    functools.partial(click.option, *names, cls=ConnectionOption, **settings)
    for names, settings in (
        (
            ("--kubeconfig",),
            {
                "metavar": "FILE",
                "type": PathType(),
                "help": "Kubeconfig file. Default: $KUBECONFIG, then the ServiceAccount in a Pod, then ~/.kube/config.",
            },
        ),
        (("--context",), {"metavar": "NAME", "help": "Kubeconfig context. Default: the current context."}),
        (("--cluster",), {"metavar": "NAME", "help": "Kubeconfig cluster. Default: that of the context."}),
        (("--user",), {"metavar": "NAME", "help": "Kubeconfig user. Default: that of the context."}),
        (("--as", "impersonate"), {"metavar": "USER", "help": "User or ServiceAccount to impersonate."}),
        (
            ("--as-group", "groups"),
            {"metavar": "GROUP", "multiple": True, "help": "Group to impersonate; can be repeated."},
        ),
        (
            ("--request-timeout",),
            {
                "type": DurationType(),
                "help": "Time limit of each request to the API server, such as 30s or 2m; 0 for none. Default: 10s, "
                "and 60s for a dry run.",
            },
        ),
    )
)


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add kubectl's connection options, passed as `access: Access`."""
    return together(*(one() for one in _CONNECTION_OPTIONS))(_with_access(function))


def optional_cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the connection options of a command that reads a cluster only with `--cluster`, whose NAME may be left out.

    Passed as `access: Access, cluster: bool`.
    """

    @functools.wraps(function)
    def run(*positional: Any, access: Access, **options: Any) -> Any:
        is_given, named = access.cluster is not None, access.cluster or None
        return function(*positional, access=access._replace(cluster=named), cluster=is_given, **options)

    option = click.option(
        "--cluster",
        metavar="[NAME]",
        is_flag=False,
        flag_value="",
        help="Also show the versions in the cluster, or in the kubeconfig cluster of this name.",
    )
    others = [one for one in _CONNECTION_OPTIONS if one.args[0] != "--cluster"]
    return together(option, *(one() for one in others))(_with_access(run))


def _with_access(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*positional: Any, **options: Any) -> Any:
        access = Access(**{name: options.pop(name) for name in Access._fields})
        if access.groups and access.impersonate is None:
            raise click.UsageError("--as-group requires --as", click.get_current_context())
        return function(*positional, access=access, **options)

    return run


#: `installation_namespace: str | None`
installation_option = click.option(
    "--installation-namespace",
    metavar="NAMESPACE",
    type=LabelType(),
    envvar=NAMESPACE_VARIABLE,
    help="Namespace of registry-webhook itself. Default: the one with its Deployment.",
)

#: `installation_namespace: str`, for commands that may run without a cluster.
default_installation_option = click.option(
    "--installation-namespace",
    metavar="NAMESPACE",
    type=LabelType(),
    envvar=NAMESPACE_VARIABLE,
    default=DEFAULT_NAMESPACE,
    show_default=True,
    help="Namespace of registry-webhook itself.",
)

#: `namespace: str | None`
namespace_option = click.option(
    "--namespace",
    "-n",
    metavar="NAMESPACE",
    type=LabelType(),
    help="Namespace. Default: that of the kubeconfig context.",
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
                raise Misuse(f"two namespaces: {' and '.join(given)}", "name one, or use --all-namespaces")
            if given and all_namespaces:
                raise Misuse(f"--all-namespaces cannot be used with namespace {next(iter(given))}", "use one of them")
            return function(namespace=next(iter(given), None), all_namespaces=all_namespaces, **options)

        return together(
            click.argument("argument", metavar="[NAMESPACE]", type=LabelType(), required=False),
            click.option(
                "--namespace", "-n", metavar="NAMESPACE", type=LabelType(), help=f"Namespace. Default: {default}."
            ),
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
        help=f"Only {objects} with matching labels, such as app=web,tier!=db.",
    )


def cluster_output_options(*forms: str) -> Callable[[_Function], _Function]:
    """Add the options of all commands that read a cluster; the first of the output formats is the default.

    Passed as `access: Access, installation_namespace: str | None, config: Path | None, output: str`.
    """
    config = click.option(
        "--config",
        metavar="FILE",
        type=PathType(),
        help="Configuration file to use instead of that of the installation, YAML; - reads standard input.",
    )
    output = click.option(
        "--output",
        "-o",
        type=Choice(forms),
        default=forms[0],
        show_default=True,
        help="Output format.",
    )
    return together(config, output, installation_option, cluster_options)


cluster_read_options = cluster_output_options("table", "json", "yaml")


def load_options(config: Path | None, installation_namespace: str | None = None) -> Loaded:
    """Load the configuration from a file and the environment.

    Raises `ConfigurationError`, `FileError` or `InvalidManifest`.
    """
    variables = {NAMESPACE_VARIABLE: installation_namespace} if installation_namespace else {}
    return load(*_config_text(config), {**os.environ, **variables})


def _config_text(config: Path | None) -> tuple[bytes, str]:
    """Return a configuration, which may be in a ConfigMap among manifests, and its name for messages."""
    name = config_name(config)
    if config is None:
        return b"", name
    content = _read_once(str(config), _INPUT_LIMIT)
    if not content.strip() and _is_pipe(config):
        hint = "check the command before the pipe"
        raise FileError("the configuration is empty", where=name, hint=hint)
    if shapes.may_be_manifest(content):
        from webhook.kube import config_manifest

        found = config_manifest.configuration(content, name, is_file=config.is_file())
        if found is not None:
            content, name = found
    if len(content) > files.LIMIT:
        raise FileError(f"larger than {files.LIMIT // 1024 // 1024} MiB", where=name)
    return content, name


def config_name(config: Path | None) -> str:
    """Return the name of a configuration for messages."""
    return files.BUILT_IN if config is None else files.STANDARD_INPUT if str(config) == "-" else str(config)


def warn_without_rules(configuration: Configuration, config: Path | None) -> None:
    """Warn that nothing is rewritten, if neither a registry nor rules are configured."""
    if not configuration.private_prefixes:
        terminal.warning(
            "no image is rewritten: neither a registry server nor rules are configured", rules_hint(config)
        )


def rules_hint(config: Path | None, *instead: str) -> str:
    """Return what to do without a registry and rules: what to add to the file, or the same command with an option.

    The option is by default the configuration of the examples.
    """
    if config is not None:
        return f"set registry.server or webhook.rules in {config_name(config)}"
    words = sys.argv[1:]
    names = click.get_current_context().command_path.removeprefix(invocation.program()).split()
    option = instead or ("--config", invocation.example())
    return invocation.command(*words[: len(names)], *option, *words[len(names) :])


def read_input(name: str) -> bytes:
    """Read a file or a pipe, or standard input for `-`. Raises `FileError`."""
    return _read_once(name, _INPUT_LIMIT)


def standard_input() -> Iterator[str]:
    """Yield the lines of standard input. Raises `FileError` if it has been read already."""
    _take_standard_input()
    yield from sys.stdin


def _read_once(name: str, limit: int) -> bytes:
    if not name:
        raise FileError("the path of the file is empty")
    if name != "-":
        try:
            return files.read(Path(name), limit, pipes=True)
        except FileError as error:
            if Path(name).is_dir():
                error.hint = "name a file in it, or pass - and pipe `kubectl kustomize` into the command"
            raise
    _take_standard_input()
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise FileError(f"larger than {limit // 1024 // 1024} MiB", where=files.STANDARD_INPUT)
    return content


def _take_standard_input() -> None:
    """Check that no other argument is `-`, and tell a user who has to type it."""
    if sys.stdin is None:
        raise FileError("standard input is closed")
    taken = click.get_current_context().meta
    if taken.setdefault(files.STANDARD_INPUT, 0):
        raise FileError("standard input can be read only once", hint="use - for one argument, and files for the others")
    taken[files.STANDARD_INPUT] = 1
    if sys.stdin.isatty() and sys.stderr.isatty():
        terminal.write("Reading standard input; end it with Ctrl-D", err=True)
