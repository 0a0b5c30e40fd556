"""What to do about a finding."""

from typing import NamedTuple

from webhook.constants import PROGRAM
from webhook.output import kubectl


class Remedy(NamedTuple):
    """The end of a finding: `Finding(mark, code, subject, message, *remedy)`."""

    hint: str = ""
    """An instruction in one line."""
    commands: tuple[str, ...] = ()
    """Command lines that can be pasted into a shell, in this order."""


def remedy(hint: str, *commands: str | None) -> Remedy:
    """Return a remedy without the commands that could not be built."""
    return Remedy(hint, tuple(command for command in commands if command is not None))


def refresher_log(namespace: str, hint: str = "find the reason in the log of the refreshers") -> Remedy:
    """Return the command that shows the log of every refresher: any of them may be the one that writes."""
    words = ("logs", "-l", f"app.kubernetes.io/name={PROGRAM}", "-c", "refresher", "--prefix", "--tail=50")
    return remedy(hint, kubectl.line(*words, namespace=namespace))
