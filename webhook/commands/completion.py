"""`registry-webhook completion`."""

import click
from click.shell_completion import get_completion_class

from webhook.names import PROGRAM


@click.command(
    "completion",
    epilog="""\b
Examples:
  source <(registry-webhook completion bash)        # in ~/.bashrc to keep it
  registry-webhook completion fish > ~/.config/fish/completions/registry-webhook.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL."""
    from webhook.commands import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"there is no completion for {shell}")
    variable = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"
    click.echo(found(cli, {}, PROGRAM, variable).source())
