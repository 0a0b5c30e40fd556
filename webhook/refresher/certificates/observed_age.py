"""For how long things have been as they are, as this process has seen them.

What is written down with a time was written by the clock of whoever wrote it. That may have been wrong, or set since,
and so may ours. By the monotonic clock each sees for itself for how long it has stood there.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta


class AgeTracker:
    """What was seen at every look, and since when it has been the same."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take the monotonic clock."""
        self._clock = clock
        self._since: dict[str, tuple[object, float]] = {}

    def observe(self, things: Mapping[str, object]) -> dict[str, timedelta]:
        """Look at things by their names, and give for how long each has been what it is; what is gone is forgotten."""
        now = self._clock()
        before = self._since
        self._since = {
            name: before[name] if name in before and before[name][0] == thing else (thing, now)
            for name, thing in things.items()
        }
        return {name: timedelta(seconds=now - since) for name, (_, since) in self._since.items()}
