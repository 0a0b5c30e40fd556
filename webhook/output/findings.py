"""What an inspection finds, step by step."""

from enum import StrEnum

from msgspec import Struct

from webhook.output.finding_codes import Code


class Mark(StrEnum):
    """How a step came out."""

    OK = "ok"
    NO = "no"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "?"


class Finding(Struct, frozen=True):
    """One step, and how it came out."""

    mark: Mark
    code: Code
    what: str
    """What was looked at, in a few words: `namespace label`."""
    why: str
    """What was found there, in one line."""
    remedy: str = ""
    """What to do about it, in one line; empty where there is nothing to be done."""

    def __str__(self) -> str:
        """Give it as one line."""
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.mark} {self.what}: {self.why}{remedy}"
