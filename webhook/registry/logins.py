"""Limit how often a credential is tried, so that a wrong one does not lock its account.

Registries with directory accounts lock one after a few failed logins from all clients together. So refused logins are
counted across registries, methods and processes: their times are stored where the next process finds them.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from webhook.registry.origin import Origin

#: A token endpoint: its server and path.
Endpoint = tuple[Origin, str]

#: Refused logins, and the seconds within which so many are allowed: a few for quick corrections, and few in all.
LIMITS = ((3, 300.0), (5, 1800.0))
_LONGEST = max(window for _, window in LIMITS)


class Logins:
    """The times of refused logins, and what is known about token endpoints. Thread-safe.

    `clock` returns POSIX time, because the times outlive the process.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: tuple[float, ...] = ()
        self.methods: dict[Endpoint, str] = {}
        """The HTTP method with which an endpoint is known to issue tokens."""

    def wait(self) -> float:
        """Return the seconds until a login may be tried; 0 if it may be tried now."""
        times, now = self.recent(), self._clock()
        waits = (min(window, times[-most] + window - now) for most, window in LIMITS if len(times) >= most)
        return max([0.0, *waits])

    def refused(self) -> None:
        """Record a refused login."""
        with self._lock:
            self._refused = (*self._refused, round(self._clock(), 3))

    def merge(self, times: Iterable[float]) -> None:
        """Add the times that other processes recorded; those that they got from this one count once."""
        with self._lock:
            self._refused = tuple(sorted((Counter(self._refused) | Counter(times)).elements()))

    def recent(self) -> tuple[float, ...]:
        """Return the times that still count, the latest last.

        One in the near future counts: it is from a machine whose clock is ahead. One far ahead was recorded before a
        clock was set back, and does not count.
        """
        now = self._clock()
        with self._lock:
            self._refused = tuple(time for time in self._refused if abs(now - time) < _LONGEST)
            return self._refused
