"""Whether the sidecar's loops go round, and what it has come to."""

from collections.abc import Callable, Iterable
from threading import Lock


class Heartbeats:
    """The last sign of life of every loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the monotonic clock."""
        self._clock = clock
        self._lock = Lock()
        self._limits: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def expect(self, loop: str, limit: float) -> None:
        """Expect a sign of life from a loop, now and at least every `limit` seconds."""
        with self._lock:
            self._limits[loop] = limit
            self._last[loop] = self._clock()

    def beat(self, loop: str) -> None:
        """Give a sign of life."""
        self._last[loop] = self._clock()

    def forget(self, loops: Iterable[str]) -> None:
        """Expect nothing any more of these loops."""
        with self._lock:
            for loop in loops:
                self._limits.pop(loop, None)

    def stalled(self) -> list[str]:
        """Name the loops that have given no sign of life for too long, each with how long that is."""
        now = self._clock()
        with self._lock:
            silent = {loop: now - self._last[loop] for loop in self._limits}
            return [f"{loop} ({age:.0f} s)" for loop, age in silent.items() if age > self._limits[loop]]
