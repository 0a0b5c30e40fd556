"""What an inspection finds, step by step."""

from enum import StrEnum

from msgspec import Struct

from webhook.output.finding_codes import Code


class Mark(StrEnum):
    """How a step came out."""

    OK = "ok"
    FAIL = "fail"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "?"


class Finding(Struct, frozen=True):
    """One step, and how it came out."""

    mark: Mark
    code: Code
    subject: str
    """What was looked at, in a few words: `namespace label`."""
    message: str
    """What was found there, in one line."""
    hint: str = ""
    """What to do about it, in one line; empty where there is nothing to be done."""

    def __str__(self) -> str:
        """Give it as one line."""
        remedy = f": {self.hint}" if self.hint else ""
        return f"{self.mark} {self.subject}: {self.message}{remedy}"
