"""Exponential back-off for an object that another client keeps changing: a few repairs at once, then longer waits."""

from collections import deque

#: Repairs that are made at once within a window of seconds; more are a conflict.
REPAIRS, WINDOW = 3, 60.0
#: Seconds that the next repair waits in a conflict, doubled each time up to the maximum.
COOL_DOWN, LONGEST = 10.0, 300.0
#: Seconds without a repair after which a conflict is over.
RESET_AFTER = 600.0


class FlapBackoff:
    """The repairs of one object. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._repairs: deque[float] = deque(maxlen=REPAIRS)
        self._cool_downs = 0
        self._until: float | None = None

    def delay(self, now: float) -> float:
        """Return the seconds that a repair must wait, 0 for none."""
        if self.is_over(now):
            self._cool_downs, self._until = 0, None
        recent = [at for at in self._repairs if now - at < WINDOW]
        if not self._cool_downs and len(recent) < REPAIRS:
            return 0.0
        if self._until is None:
            self._cool_downs += 1
            self._until = now + min(LONGEST, COOL_DOWN * 2.0 ** min(self._cool_downs - 1, 16))
        return max(0.0, self._until - now)

    def record(self, now: float) -> None:
        """Record that a repair was made."""
        self._repairs.append(now)
        self._until = None

    def is_over(self, now: float) -> bool:
        """Whether there is no conflict, or no longer."""
        return not self._repairs or now - self._repairs[-1] > RESET_AFTER
