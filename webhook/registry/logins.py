"""How often a credential may still be tried, so that a wrong one does not lock its account.

Registries with directory accounts lock one after a few failed logins, counted over all clients. So refused logins are
counted over registries, methods and processes: the times are stored where the next process finds them.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable

from webhook.registry.origin import Origin

#: A token endpoint: its server and path.
Endpoint = tuple[Origin, str]

#: Refused logins, and the seconds in which there may be so many: a few for corrections, and few in all.
LIMITS = ((3, 300.0), (5, 1800.0))
_LONGEST = max(window for _, window in LIMITS)


class Logins:
    """The times of refused logins, and what is known of token endpoints. For use by several threads at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none. `clock` gives POSIX time: the times outlive the process."""
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: tuple[float, ...] = ()
        self.methods: dict[Endpoint, str] = {}
        """By which HTTP method an endpoint is known to give tokens."""

    def wait(self) -> float:
        """Return the seconds until a login may be tried; 0 if it may be tried now."""
        times, now = self.recent(), self._clock()
        waits = (min(window, times[-most] + window - now) for most, window in LIMITS if len(times) >= most)
        return max([0.0, *waits])

    def refused(self) -> None:
        """Count a login that was refused."""
        with self._lock:
            self._refused = (*self._refused, round(self._clock(), 3))

    def merge(self, times: Iterable[float]) -> None:
        """Add what other processes counted; what they have from here counts once."""
        with self._lock:
            self._refused = tuple(sorted((Counter(self._refused) | Counter(times)).elements()))

    def recent(self) -> tuple[float, ...]:
        """Return the times that still count, the latest last.

        One in the near future is from a machine whose clock is ahead, and one far off from before a clock was set back.
        """
        now = self._clock()
        with self._lock:
            self._refused = tuple(time for time in self._refused if abs(now - time) < _LONGEST)
            return self._refused
