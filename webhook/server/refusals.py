"""Why requests are refused, and their log: one line for each reason in some seconds, however many there are."""

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
    """Its content is not JSON."""
    MALFORMED_REVIEW = "malformed-review"
    """Its body is not an AdmissionReview that can be answered."""
    TOO_LARGE = "too-large"
    """Its body is larger than any that an API server sends."""
    OVERLOADED = "overloaded"
    """Too many bytes of requests were held, and its client had most of them."""
    INTERNAL_ERROR = "internal-error"
    """Answering it failed."""


#: The statuses that requests are refused with.
STATUSES = {
    Refusal.MALFORMED_HTTP: (400, 414, 431, 501),
    Refusal.CONTENT_TYPE: (415,),
    Refusal.MALFORMED_REVIEW: (400,),
    Refusal.TOO_LARGE: (413,),
    Refusal.OVERLOADED: (503,),
    Refusal.INTERNAL_ERROR: (500,),
}


class Refused(NamedTuple):
    """A request that is refused."""

    status: int
    reason: Refusal
    client: str
    """The address that it came from."""
    why: str
    """The reason in words."""


class RefusalLog:
    """Logs refused requests; it can be used from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what gives seconds."""
        self._clock = clock
        self._lock = Lock()
        self._logged: dict[Refusal, float] = {}
        self._waiting: dict[Refusal, tuple[int, Refused]] = {}

    def add(self, refused: Refused) -> None:
        """Log a request, or count it for a later line."""
        with self._lock:
            number, _ = self._waiting.get(refused.reason, (0, None))
            self._waiting[refused.reason] = number + 1, refused
        self.flush()

    def flush(self) -> None:
        """Log what is due. It is to be called now and then, for the last requests are due later."""
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
