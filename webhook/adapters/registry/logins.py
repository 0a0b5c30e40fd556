"""How often a credential may still be tried, so that a wrong one does not lock its account.

Registries with directory accounts lock one after a few failed logins, counted over all clients. So refused logins are
counted over registries, methods and processes: the times are stored where the next process finds them.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable

#: Refused logins, and the seconds in which there may be so many.
LIMIT, WINDOW = 3, 300.0


class Logins:
    """The times of refused logins, for use by several threads at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with none. `clock` gives POSIX time: the times outlive the process."""
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: tuple[float, ...] = ()

    def wait(self) -> float:
        """Return the seconds until a login may be tried; 0 if it may be tried now."""
        times = self.recent()
        return max(0.0, times[-LIMIT] + WINDOW - self._clock()) if len(times) >= LIMIT else 0.0

    def refused(self) -> None:
        """Count a login that was refused."""
        with self._lock:
            self._refused = (*self._refused, round(self._clock(), 3))

    def merge(self, times: Iterable[float]) -> None:
        """Add what other processes counted; what they have from here counts once."""
        with self._lock:
            self._refused = tuple(sorted((Counter(self._refused) | Counter(times)).elements()))

    def recent(self) -> tuple[float, ...]:
        """Return the times that still count, the latest last; one in the future is from a clock that was set back."""
        now = self._clock()
        with self._lock:
            self._refused = tuple(time for time in self._refused if now - WINDOW < time <= now)
            return self._refused
