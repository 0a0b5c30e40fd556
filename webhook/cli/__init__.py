"""The command line: one file for each command, imported when it is called.

An error that a user can fix is one line on standard error and exit status 2.
"""

import difflib
import importlib
import resource
import sys

import click

from webhook import __version__
from webhook.constants import PROGRAM
from webhook.errors import ConfigurationError, RegistryWebhookError
from webhook.output import terminal

#: Each command's module in this package, with its help: importing them all would take half a second.
_COMMANDS = {
    "serve": "Serve reviews over HTTPS.",
    "refresh": "Keep the pull secret current in every served namespace.",
    "resolve": "Say what images become, and why.",
    "review": "Show what manifests would become.",
    "plan": "Show what opting a namespace in would change, before it is labelled.",
    "report": "Compare running Pods with what the webhook would make of them now.",
    "config": "Show the configuration in force and where it comes from.",
    "explain": "Say why a Pod was rewritten or was not.",
    "doctor": "Check the installation from end to end.",
    "policy": "Make admission policies of the configuration.",
    "certs": "Make the webhook's certificates by hand.",
    "cleanup": "Delete the pull secrets of all namespaces.",
    "demo": "Start the real server, send it real manifests, and look.",
    "completion": "Print a shell's completion script.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            # If none is similar, click reports the error.
            for similar in difflib.get_close_matches(cmd_name, _COMMANDS, n=1):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {similar!r}?")
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(
    PROGRAM,
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command says more with --help, with examples.",
)
@click.version_option(__version__, prog_name=PROGRAM)
@click.pass_context
def cli(call: click.Context) -> None:
    """Make the Pods of opted-in namespaces pull from a private registry."""
    if call.invoked_subcommand is None:
        terminal.write_all(call.get_help().splitlines())


def _disable_core_dumps() -> None:
    """Keep credentials and keys out of core files, of child processes too.

    PR_SET_DUMPABLE stays on: without it a process that is not root cannot count its own open files.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Run the command line."""
    _disable_core_dumps()
    try:
        status = cli.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else PROGRAM
        terminal.error(error.format_message().rstrip("."), f"{path} --help")
        status = 2
    except click.ClickException as error:
        terminal.error(error.format_message())
        status = 2
    except ConfigurationError as error:
        for issue in error.issues:
            terminal.error(str(issue), issue.hint)
        status = 2
    except RegistryWebhookError as error:
        terminal.error(str(error), error.hint)
        status = 2
    except BrokenPipeError:
        # The reader of the output has ended, as `head` does, which is not an error. Python would report it on exit.
        sys.stdout = None
        status = 1
    except OSError as error:
        terminal.error(error.strerror or str(error))
        sys.stdout = None
        status = 2
    sys.exit(status if isinstance(status, int) else 0)
