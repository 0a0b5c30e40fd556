"""How a fight over one pull secret is fought: a few repairs at once, then each one later than the one before."""

from collections import deque

#: So many repairs in so many seconds are made at once; more are a fight.
REPAIRS, WINDOW = 3, 60.0
#: Seconds that the next repair waits then, doubled each time up to the second.
COOL_DOWN, LONGEST = 10.0, 300.0
#: Seconds without a repair after which a fight is over.
RESET_AFTER = 600.0


class FlapBackoff:
    """The repairs of one pull secret. Times are monotonic seconds."""

    def __init__(self) -> None:
        """Begin in peace."""
        self._repairs: deque[float] = deque(maxlen=REPAIRS)
        self._cool_downs = 0
        self._until: float | None = None

    def delay(self, now: float) -> float:
        """Give the seconds that a repair must wait, 0 for none."""
        if self.is_over(now):
            self._cool_downs, self._until = 0, None
        lately = [at for at in self._repairs if now - at < WINDOW]
        if not self._cool_downs and len(lately) < REPAIRS:
            return 0.0
        if self._until is None:
            self._cool_downs += 1
            self._until = now + min(LONGEST, COOL_DOWN * 2.0 ** min(self._cool_downs - 1, 16))
        return max(0.0, self._until - now)

    def record(self, now: float) -> None:
        """Take notice of a repair."""
        self._repairs.append(now)
        self._until = None

    def is_over(self, now: float) -> bool:
        """Tell whether nobody fights, or no longer."""
        return not self._repairs or now - self._repairs[-1] > RESET_AFTER
