"""`registry-webhook help`."""

import click

from webhook.cli.command import Command
from webhook.output import terminal


@click.command(
    "help",
    cls=Command,
    epilog="""\b
Examples:
  registry-webhook help plan
  registry-webhook help policy mutate
""",
)
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def command(call: click.Context, names: tuple[str, ...]) -> None:
    """Print the help of a command, or of the whole program without one."""
    shown = call.find_root()
    for number, name in enumerate(names):
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands", shown)
        _, found, _ = group.resolve_command(shown, list(names[number:]))
        if found is not None:
            shown = click.Context(found, shown, info_name=name)
    terminal.write_all(shown.get_help().splitlines())
