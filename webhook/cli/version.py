"""`registry-webhook version`."""

import click

from webhook import __version__
from webhook.cli.command import Command
from webhook.constants import PROGRAM
from webhook.output import terminal


@click.command(
    "version",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook version
""",
)
def command() -> None:
    """Print the version of this program. For that of an installation, use doctor."""
    terminal.write(f"{PROGRAM} {__version__}")
