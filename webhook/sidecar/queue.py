"""Namespaces that are to be looked at, each at its time, each by one worker at a time."""

import heapq
from collections.abc import Callable
from threading import Condition


class Queue:
    """A set of names with the time at which each is due.

    A name that is added twice is looked at once. One that is added while it is looked at is looked at again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the monotonic clock."""
        self._clock = clock
        self._condition = Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._working: set[str] = set()
        self._closed = False

    def add(self, name: str, delay: float = 0.0) -> None:
        """Have a name looked at in `delay` seconds, or sooner where that was asked for before."""
        due = self._clock() + delay
        with self._condition:
            if due < self._due.get(name, float("inf")):
                self._due[name] = due
                heapq.heappush(self._heap, (due, name))
                self._condition.notify()

    def take(self, timeout: float) -> str | None:
        """Wait for a name that is due, at most `timeout` seconds; whoever got one says `done` with it."""
        end = self._clock() + timeout
        with self._condition:
            while not self._closed:
                now = self._clock()
                name = self._next(now)
                if name is not None:
                    del self._due[name]
                    self._working.add(name)
                    return name
                if now >= end:
                    return None
                self._condition.wait(min(end, self._heap[0][0] if self._heap else end) - now)
        return None

    def _next(self, now: float) -> str | None:
        """Find the first name that is due and in nobody's hands; the others that are due wait for `done`."""
        in_hands = []
        found = None
        while found is None and self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._due.get(name) != due:
                continue  # it was added again for an earlier time
            if name in self._working:
                in_hands.append(name)
            else:
                found = name
        for name in in_hands:
            self._due[name] = float("inf")  # `done` makes it due
        return found

    def done(self, name: str) -> None:
        """Say that a name has been looked at."""
        with self._condition:
            self._working.discard(name)
            if self._due.get(name) == float("inf"):
                self._due[name] = self._clock()
                heapq.heappush(self._heap, (self._due[name], name))
            self._condition.notify_all()

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until nothing is due and nothing in anybody's hands; tell whether that came about."""
        end = self._clock() + timeout
        with self._condition:
            while not self._closed and (self._working or any(due <= self._clock() for due in self._due.values())):
                if self._clock() >= end:
                    return False
                self._condition.wait(min(0.5, end - self._clock()))
        return True

    def close(self) -> None:
        """Wake up everybody who waits, for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
