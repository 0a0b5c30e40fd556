"""What to do about a finding."""

from typing import NamedTuple


class Remedy(NamedTuple):
    """The end of a finding: `Finding(mark, code, subject, message, *remedy)`."""

    hint: str = ""
    """An instruction in one line."""
    commands: tuple[str, ...] = ()
    """Command lines that can be pasted into a shell, in this order."""


def remedy(hint: str, *commands: str | None) -> Remedy:
    """Return a remedy without the commands that could not be built."""
    return Remedy(hint, tuple(command for command in commands if command is not None))
