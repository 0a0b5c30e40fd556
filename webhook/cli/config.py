"""`registry-webhook config`."""

from pathlib import Path

import click

from webhook.cli.options import config_option, load_options
from webhook.config import files, render
from webhook.output import terminal


@click.command(
    "config",
    epilog="""\b
Examples:
  registry-webhook config --config config.yaml
  registry-webhook config --config config.yaml --check && kubectl apply -f config.yaml
""",
)
@click.option("--check", is_flag=True, help="Print one line: that it is valid (exit status 0), or the errors (2).")
@config_option
def command(check: bool, config: Path | None) -> None:  # noqa: FBT001 - click passes it by name
    """Show the current configuration: YAML, each value with where it came from, passwords masked.

    No key needs a restart: the server takes a changed file up within a second. Environment variables are read at the
    start, and win over the file.
    """
    found = load_options(config)
    if check:
        terminal.write(f"{config or files.BUILT_IN}: valid")
    else:
        terminal.write_document(render.show(found), "yaml")
