"""`registry-webhook config`."""

from pathlib import Path

import click

from webhook.cli.command import Command
from webhook.cli.options import config_name, config_option, load_options, warn_without_rules
from webhook.config import render
from webhook.output import terminal


@click.command(
    "config",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook config --config config.yaml
  registry-webhook config --config config.yaml --check
  kubectl -n registry-webhook get configmap registry-webhook -o jsonpath='{.data.config\\.yaml}' \\
    | registry-webhook config --config - --check
""",
)
@click.option("--check", is_flag=True, help="Only check: print that the configuration is valid, or its errors.")
@config_option
def command(check: bool, config: Path | None) -> None:  # noqa: FBT001 - click passes it by name
    """Show the configuration as YAML, with the origin of each value and with passwords masked.

    Environment variables override the file. Running processes reload a changed file within a second, and read
    environment variables only when they start. In a cluster, the kubelet updates a mounted ConfigMap within about a
    minute.
    """
    found = load_options(config)
    warn_without_rules(found.configuration, config)
    if check:
        terminal.write(f"{config_name(config)}: valid")
    else:
        terminal.write_document(render.show(found), "yaml")
