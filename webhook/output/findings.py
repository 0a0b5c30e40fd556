"""Findings of `doctor` and `explain`."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from webhook.errors import NotReadable
from webhook.output.finding_codes import Code


class Mark(StrEnum):
    """The result of a check."""

    OK = "ok"
    FAIL = "fail"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "?"


class Finding(Struct, frozen=True):
    """One check and its result."""

    mark: Mark
    code: Code
    subject: str
    """The thing that was checked, in a few words: `namespace label`."""
    message: str
    """The result, in one line."""
    hint: str = ""
    """What to do about it, in one line; empty if nothing needs to be done or the commands say it all."""
    commands: tuple[str, ...] = ()
    """Command lines that can be pasted into a shell, in this order."""
    documentation: str = ""
    """The URL of the code's documentation; set from the code."""

    def __post_init__(self) -> None:
        force_setattr(self, "documentation", self.code.url)


def or_unknown(subject: str, code: Code, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield a check's findings, and one `?` finding if it needs something that could not be read."""
    try:
        yield from findings
    except NotReadable as error:
        yield Finding(Mark.UNKNOWN, code, subject, str(error))
