"""Heartbeats of the refresher's loops, for `/healthz`."""

from collections.abc import Callable, Iterable
from threading import Lock


class Heartbeats:
    """The last heartbeat of every loop. Thread-safe; `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._limits: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def expect(self, loop: str, limit: float) -> None:
        """Expect a heartbeat of a loop at least every `limit` seconds from now on."""
        with self._lock:
            self._limits[loop] = limit
            self._last[loop] = self._clock()

    def beat(self, loop: str) -> None:
        """Record a heartbeat."""
        self._last[loop] = self._clock()

    def forget(self, loops: Iterable[str]) -> None:
        """Expect no heartbeat of these loops any more."""
        with self._lock:
            for loop in loops:
                self._limits.pop(loop, None)

    def stalled(self) -> list[str]:
        """Return the loops whose heartbeat is overdue, each with the seconds since the last one."""
        now = self._clock()
        with self._lock:
            silent = {loop: now - self._last[loop] for loop in self._limits}
            return [f"{loop} ({age:.0f} s)" for loop, age in silent.items() if age > self._limits[loop]]
