"""The command line: one file for each command, imported when it is called.

An error that a user can fix is `error: WHAT (WHERE)` and `hint: WHAT TO DO` on standard error, and exit status 2.
"""

import importlib
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from webhook import __version__
from webhook.cli.command import Group
from webhook.constants import PROGRAM
from webhook.errors import ConfigurationError, FileError, RegistryWebhookError
from webhook.output import invocation, terminal

#: Each command's module in this package, with its summary: importing them all would take half a second.
_GROUPS = {
    "Try it offline": {
        "demo": "Start a server and send it example manifests",
        "resolve": "Show what image names resolve to, and why",
        "review": "Show what would change in manifests",
        "config": "Show or check the configuration",
    },
    "Look at a cluster": {
        "doctor": "Check the installation from end to end",
        "explain": "Explain why a Pod was or was not rewritten",
        "plan": "Show what opting in a namespace would change",
        "report": "Find running Pods that the webhook would change",
    },
    "Run in the cluster": {
        "serve": "Run the webhook server",
        "refresh": "Keep pull secrets and the certificate current",
        "cleanup": "Delete pull secrets and generated policies",
    },
    "Generate": {
        "policy": "Generate admission policies from the configuration",
        "certs": "Create certificates for a manual installation",
        "completion": "Generate a shell completion script",
    },
    "Other commands": {
        "version": "Print the version, or those in a cluster",
        "help": "Print the help of a command",
    },
}
_COMMANDS = {name: summary for commands in _GROUPS.values() for name, summary in commands.items()}


class _Root(Group):
    """The group of all commands, which are imported when they are called. Prints their errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        command.short_help = _COMMANDS[cmd_name]
        return command

    def summaries(self, ctx: click.Context) -> dict[str, dict[str, str]]:  # noqa: ARG002
        return _GROUPS

    def invoke(self, ctx: click.Context) -> object:
        # Inside the context, which has the choice of colors.
        with _errors_printed():
            return super().invoke(ctx)


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Examples:
  registry-webhook demo
  registry-webhook resolve --help
""",
)
@click.version_option(
    __version__, "-V", "--version", message=f"{PROGRAM} %(version)s", help="Print the version and exit."
)
def cli() -> None:
    """Prefix image names that do not specify a registry with yours, apply your rewrite rules, and add the pull secret.

    registry-webhook is a Kubernetes admission webhook. It changes the Pods of opted-in namespaces only.
    """


def _disable_core_dumps() -> None:
    """Keep credentials and keys out of core files, of child processes too.

    PR_SET_DUMPABLE stays on: without it a process that is not root cannot count its own open files.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Run the command line."""
    _disable_core_dumps()
    try:
        with _errors_printed():
            if sys.stdout is None:
                # Its number would be that of the next file or socket.
                raise FileError("standard output is closed")
            status = cli.main(prog_name=invocation.program(), standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    sys.exit(status if isinstance(status, int) else 0)


@contextmanager
def _errors_printed() -> Iterator[None]:
    """Print errors that a user can fix, and exit with status 2."""
    try:
        yield
    except click.UsageError as error:
        from webhook.cli import usage

        terminal.error(*usage.problem(error, sys.argv[1:]))
    except click.ClickException as error:
        terminal.error(error.format_message())
    except ConfigurationError as error:
        for issue in error.issues:
            terminal.error(str(issue), issue.hint)
    except RegistryWebhookError as error:
        terminal.error(str(error), error.hint)
    except BrokenPipeError:
        # The reader of the output has ended, as `head` does, which is not an error. Python would report it on exit.
        sys.stdout = None
        sys.exit(1)
    except OSError as error:
        reason = error.strerror or str(error)
        where = f" ({error.filename})" if error.filename else ""
        terminal.error(f"{reason[:1].lower()}{reason[1:]}{where}")
        sys.stdout = None
    else:
        return
    sys.exit(2)
