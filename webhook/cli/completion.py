"""`registry-webhook completion`."""

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

from webhook.constants import PROGRAM

#: The last line for kubectl: whether to complete file names (cobra's ShellCompDirectiveNoFileComp and Default).
_NO_FILES, _FILES = ":4", ":0"


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
    from webhook.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"there is no completion for {shell}")
    variable = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"
    click.echo(found(cli, {}, PROGRAM, variable).source())


def complete_for_kubectl() -> None:
    """Answer kubectl, which runs this with the arguments so far, the last of them incomplete.

    https://kubernetes.io/docs/reference/kubectl/generated/kubectl_plugin/
    """
    from webhook.cli import cli

    *finished, unfinished = sys.argv[1:] or [""]
    found = ShellComplete(cli, {}, PROGRAM, "").get_completions(finished, unfinished)
    for item in found:
        if item.type == "plain":
            click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(_NO_FILES if any(item.type == "plain" for item in found) else _FILES)
