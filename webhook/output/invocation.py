"""The command that the user typed to run this program, for help messages and hints that can be pasted."""

import os
import shlex
import sys
from pathlib import Path

from webhook.constants import PROGRAM

#: The file that makes this program a kubectl plugin, and what the user types then.
#: https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#names-with-dashes-and-underscores
_PLUGIN_FILE, _PLUGIN = "kubectl-registry_webhook", "kubectl registry-webhook"
_MODULE_FILE = "__main__.py"


def program() -> str:
    """Return the words that run this program: as a plugin, from the PATH, or as a module in a checkout."""
    name = Path(sys.argv[0]).name
    if name.startswith(_PLUGIN_FILE):
        return _PLUGIN
    if name == _MODULE_FILE:
        import shutil  # noqa: PLC0415 - it imports all compression formats

        if shutil.which(PROGRAM) is None:
            return f"{shlex.quote(_shortest(sys.executable))} -m webhook"
    return PROGRAM


def command(*words: str) -> str:
    """Return a command line of this program that can be pasted into a shell."""
    return " ".join([program(), *map(shlex.quote, words)])


def example(name: str = "config.yaml") -> str:
    """Return the path of a file of the examples, by default of their configuration."""
    return _shortest(str(Path(__file__).parents[1] / "examples" / name))


def _shortest(file: str) -> str:
    try:
        return min(os.path.relpath(file), file, key=len)
    except (OSError, ValueError):  # no working directory
        return file
