"""Detect wall-clock jumps by comparison with the monotonic clock.

A clock that jumps ahead makes everything look old, and what is deleted by age would be deleted too early. So ages count
again from a jump that this process has seen, and a process that has just started waits: a machine may start its Pods
before its clock is set.
"""

from webhook.refresher.runtime.clock import Clocks

#: Seconds by which the two clocks may diverge between two checks. No gradual correction reaches it, and it makes no
#: difference to a wait of hours.
TOLERANCE = 60.0
#: Seconds after the start in which the clock may still be set.
STARTUP_GRACE = 600.0


class ClockJumpGuard:
    """Delays deletions while the wall clock cannot be trusted. Thread-safe."""

    def __init__(self, clocks: Clocks) -> None:
        """Trust the wall clock until `start` is called: a process that refreshes only once cannot check it."""
        self.clocks = clocks
        self._offset = clocks.wall() - clocks.monotonic()
        self._set_at = self._begun_at = float("-inf")

    def start(self) -> None:
        """Begin the startup grace period of a long-running process."""
        self._begun_at = self.clocks.monotonic()

    def grace(self, seconds: float) -> float:
        """Return how long a wait of `seconds` must go on, whatever the wall clock shows; 0 if the clock is trusted."""
        now = self.clocks.monotonic()
        offset = self.clocks.wall() - now
        if abs(offset - self._offset) > TOLERANCE:
            self._set_at = now
        self._offset = offset
        return max(0.0, self._set_at + seconds - now, self._begun_at + min(seconds, STARTUP_GRACE) - now)
