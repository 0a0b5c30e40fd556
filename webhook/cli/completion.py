"""`registry-webhook completion`."""

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

from webhook.cli.command import Command
from webhook.cli.option_types import Choice
from webhook.constants import PROGRAM

#: The last line for kubectl: whether to complete file names (cobra's ShellCompDirectiveNoFileComp and Default).
_NO_FILES, _FILES = ":4", ":0"


@click.command(
    "completion",
    cls=Command,
    epilog="""\b
Examples:
  source <(registry-webhook completion bash)    # add this line to ~/.bashrc to keep it
  registry-webhook completion zsh > _registry-webhook
  registry-webhook completion fish > registry-webhook.fish
""",
)
@click.argument("shell", metavar="SHELL", type=Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print a completion script for SHELL: bash, zsh or fish.

    For zsh, put the file into a folder of $fpath; for fish, into ~/.config/fish/completions.
    """
    from webhook.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
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
