"""Findings of `doctor` and `explain`."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

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
    """What to do about it, in one line; empty if nothing needs to be done."""


def or_unknown(subject: str, code: Code, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield a check's findings, and one `?` finding if it needs something that could not be read."""
    try:
        yield from findings
    except NotReadable as error:
        yield Finding(Mark.UNKNOWN, code, subject, str(error))
