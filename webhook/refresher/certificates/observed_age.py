"""How long observed values have been unchanged, as this process has seen them.

A stored time is from another machine's clock, which may be wrong or be set later, as may ours. So each process measures
by its own monotonic clock.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta


class AgeTracker:
    """Tracks since when each observed value has been the same. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, tuple[object, float]] = {}

    def observe(self, values: Mapping[str, object]) -> dict[str, timedelta]:
        """Return how long each value has been the same; a name that is missing is forgotten."""
        now = self._clock()
        before = self._since
        self._since = {
            name: before[name] if name in before and before[name][0] == value else (value, now)
            for name, value in values.items()
        }
        return {name: timedelta(seconds=now - since) for name, (_, since) in self._since.items()}
