"""Whether the wall clock can be believed, as far as this process has seen.

A clock that jumps ahead makes everything look old. What is deleted when it is old enough is needed until then, so who
has seen the clock being set counts anew from that moment, and who has just come up waits a little: a machine may start
its Pods before its clock is set.
"""

from webhook.refresher.runtime.clock import Clocks

#: Seconds by which the two clocks may part between two looks: no gradual correction gets there, and to whoever waits
#: for hours it makes no difference.
TOLERANCE = 60.0
#: Seconds after the start in which the clock may yet be set.
STARTUP_GRACE = 600.0


class ClockJumpGuard:
    """What is known of the wall clock, by the monotonic one. For use by several threads at once."""

    def __init__(self, clocks: Clocks) -> None:
        """Take the clocks. Until `start` the wall clock is believed: whoever makes one pass has nothing else."""
        self.clocks = clocks
        self._offset = clocks.wall() - clocks.monotonic()
        self._set_at = self._begun_at = float("-inf")

    def start(self) -> None:
        """Begin to run for long."""
        self._begun_at = self.clocks.monotonic()

    def grace(self, seconds: float) -> float:
        """Give how long a wait of `seconds` is not over yet, whatever the wall clock says; 0 where that is believed."""
        now = self.clocks.monotonic()
        offset = self.clocks.wall() - now
        if abs(offset - self._offset) > TOLERANCE:
            self._set_at = now
        self._offset = offset
        return max(0.0, self._set_at + seconds - now, self._begun_at + min(seconds, STARTUP_GRACE) - now)
