"""A work queue of names, each processed when due and by one worker at a time, like client-go's.

https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

import heapq
from collections.abc import Callable
from threading import Condition


class WorkQueue:
    """Names to process, now or later. Thread-safe; `clock` returns monotonic seconds.

    A name that is added twice is processed once. One that is added while it is processed is processed again after that.
    Of several due times for a name the earliest counts; once it is due, the others are dropped.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._condition = Condition()
        self._dirty: dict[str, None] = {}
        """Names to process, in the order in which they were added; one that is being processed waits for `done`."""
        self._processing: set[str] = set()
        self._later: dict[str, float] = {}
        """When names become dirty, for those that are not."""
        self._heap: list[tuple[float, str]] = []
        """The same times, and outdated ones."""
        self._closed = False

    def add(self, name: str, delay: float = 0.0) -> None:
        """Have a name processed in `delay` seconds, or earlier if that was requested before."""
        with self._condition:
            if name in self._dirty:
                return
            if delay <= 0:
                self._mark(name)
            elif (due := self._clock() + delay) < self._later.get(name, float("inf")):
                self._later[name] = due
                heapq.heappush(self._heap, (due, name))
            self._condition.notify()

    def _mark(self, name: str) -> None:
        self._dirty[name] = None
        self._later.pop(name, None)

    def get(self, timeout: float) -> str | None:
        """Wait for a name to process, at most `timeout` seconds; the caller calls `done` with it afterwards."""
        end = self._clock() + timeout
        with self._condition:
            while not self._closed:
                now = self._clock()
                self._mark_due(now)
                name = next((name for name in self._dirty if name not in self._processing), None)
                if name is not None:
                    del self._dirty[name]
                    self._processing.add(name)
                    return name
                if now >= end:
                    return None
                self._condition.wait(min(end, self._heap[0][0] if self._heap else end) - now)
        return None

    def _mark_due(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            due, name = heapq.heappop(self._heap)
            if self._later.get(name) == due:
                self._mark(name)

    def done(self, name: str) -> None:
        """Report that a name has been processed."""
        with self._condition:
            self._processing.discard(name)
            self._condition.notify_all()

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until no name is processed or due, at most `timeout` seconds; return whether that is so."""
        end = self._clock() + timeout
        with self._condition:
            while not self._closed and self._is_busy():
                if self._clock() >= end:
                    return False
                self._condition.wait(min(0.5, end - self._clock()))
        return True

    def _is_busy(self) -> bool:
        self._mark_due(self._clock())
        return bool(self._dirty or self._processing)

    def close(self) -> None:
        """Wake up every waiting caller, for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
