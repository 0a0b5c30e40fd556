"""What was read of a cluster, as values for whoever finds out what it means.

A part that could not be read is an `Unknown` in its place and says why; an object that is not there is None. What the
objects hold is in `objects`.
"""

from typing import Any, NamedTuple

from msgspec import Struct


class Unknown(Struct, frozen=True):
    """What stands where something could not be read."""

    why: str
    """In one line: `no right to list Secrets in team-a`."""

    def __str__(self) -> str:
        """Say so."""
        return f"not known: {self.why}"


class DryRunResult(NamedTuple):
    """What came of a server dry run."""

    stored: dict[str, Any] | None
    """The object as it would be stored; None where it was refused."""
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    """Why, in the API server's words."""
