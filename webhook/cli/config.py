"""`registry-webhook config`."""

from pathlib import Path

import click

from webhook.cli.command import Command, Misuse, UnexpectedArguments, is_given
from webhook.cli.option_types import PathType
from webhook.cli.options import config_name, config_option, load_options, warn_without_rules
from webhook.config import render
from webhook.output import invocation, terminal

#: Options that are a command's name in other programs: `config check`.
_FLAGS = frozenset({"check", "schema"})


@click.command(
    "config",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook config config.yaml
  registry-webhook config --check config.yaml
  kubectl kustomize my-cluster | registry-webhook config --check -
  kubectl -n registry-webhook get configmap registry-webhook -o yaml | registry-webhook config --check -
  registry-webhook config --schema > config.schema.json

Exit status: 0 if the configuration is valid, 2 if it is not.
""",
)
@click.argument("file", metavar="[FILE]", type=PathType(), required=False)
@click.option("--check", is_flag=True, help="Only check: print that the configuration is valid, or its errors.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a configuration file, for editors.")
@config_option
def command(file: Path | None, check: bool, schema: bool, config: Path | None) -> None:  # noqa: FBT001 - by name
    """Show the configuration as YAML, with the origin of each value and with passwords masked.

    FILE is the same as --config FILE. A ConfigMap with the key config.yaml is read too, also among other manifests,
    as kubectl and helm print them.

    Environment variables override the file. Running processes reload a changed file within a second, and read
    environment variables only when they start. In a cluster, the kubelet updates a mounted ConfigMap within two
    minutes.
    """
    if schema:
        _print_schema(is_alone=not check and file is None)
        return
    ctx = click.get_current_context()
    if str(file) in _FLAGS and not Path(str(file)).exists():
        raise UnexpectedArguments([str(file)], ctx)
    if file is not None and is_given(ctx, "config"):
        raise Misuse("two configuration files", "name the file once, as an argument or with --config")
    config = file or config
    found = load_options(config)
    warn_without_rules(found.configuration, config)
    if check:
        terminal.write(f"{config_name(config)}: valid")
    else:
        terminal.write_document(render.show(found), "yaml")


def _print_schema(*, is_alone: bool) -> None:
    import msgspec

    from webhook.config import json_schema

    if not is_alone:
        raise Misuse("--schema takes no file and no --check", invocation.command("config", "--schema"))
    text = msgspec.json.format(msgspec.json.encode(json_schema.document())).decode()
    terminal.write_document(text, "json")
