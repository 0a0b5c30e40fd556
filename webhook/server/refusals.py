"""Refused requests: the reasons, and a log with at most one line for each reason in ten seconds."""

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from math import inf
from threading import Lock
from typing import NamedTuple

from webhook import log

#: Seconds between two lines with the same reason.
INTERVAL = 10.0

_log = logging.getLogger("webhook.server")


class Refusal(StrEnum):
    """Why a request was refused."""

    MALFORMED_HTTP = "malformed-http"
    """It is not HTTP/1.1, or its head is too large."""
    CONTENT_TYPE = "content-type"
    """Its content type is not JSON."""
    MALFORMED_REVIEW = "malformed-review"
    """Its body is not an AdmissionReview, or has no uid to answer with."""
    TOO_LARGE = "too-large"
    """Its body is larger than any that API servers send."""
    OVERLOADED = "overloaded"
    """The memory budget was exceeded, and it was the largest consumer."""
    INTERNAL_ERROR = "internal-error"
    """Answering it failed."""


#: HTTP statuses of refused requests.
STATUSES = {
    Refusal.MALFORMED_HTTP: (400, 414, 431),
    Refusal.CONTENT_TYPE: (415,),
    Refusal.MALFORMED_REVIEW: (400,),
    Refusal.TOO_LARGE: (413,),
    Refusal.OVERLOADED: (503,),
    Refusal.INTERNAL_ERROR: (500,),
}


class Refused(NamedTuple):
    """A refused request."""

    status: int
    reason: Refusal
    client: str
    """The client's address."""
    why: str
    """The reason as a sentence."""


class RefusalLog:
    """Logs refused requests; it can be used from several threads. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._logged: dict[Refusal, float] = {}
        self._waiting: dict[Refusal, tuple[int, Refused]] = {}

    def add(self, refused: Refused) -> None:
        """Log a request now, or count it for a later line."""
        with self._lock:
            number, _ = self._waiting.get(refused.reason, (0, None))
            self._waiting[refused.reason] = number + 1, refused
        self.flush()

    def flush(self) -> None:
        """Log the lines that are due; call this regularly, for requests that were counted for a later line."""
        if not self._waiting:
            return
        now = self._clock()
        with self._lock:
            due = [reason for reason in self._waiting if now - self._logged.get(reason, -inf) >= INTERVAL]
            lines = [self._waiting.pop(reason) for reason in due]
            self._logged.update(dict.fromkeys(due, now))
        for count, (status, reason, client, why) in lines:
            _log.warning(
                log.event("request refused", status=status, reason=reason, count=count, last_client=client, why=why)
            )
