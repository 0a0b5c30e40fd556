"""When the next pass is due. Seconds in, seconds out; whoever loops has the clock and the dice."""

from typing import NamedTuple

#: A pass that went well is followed by the next at this part of the time that the credential has.
_EARLY = 0.8
#: Up to this part is taken off at random, so that replicas and clusters spread.
_SPREAD = 0.1
#: However short a life is, and where it is over already, no sooner than this.
LEAST = 10.0
#: Backing off ends here.
MOST = 300.0


class Schedule(NamedTuple):
    """What the configuration says of passes."""

    period: float
    """`token_ttl`."""
    attempts: int
    """`retry_attempts`: quick tries in all."""
    delay: float
    """`retry_delay`: between quick tries."""

    def after_success(self, life: float | None, dice: float) -> float:
        """Give the wait after a pass that went well; `life` is what the credential has left, `dice` from [0, 1)."""
        span = self.period if life is None else min(self.period, life)
        return max(LEAST, span * _EARLY * (1 - _SPREAD * dice))

    def after_failure(self, failures: int, *, refused: bool, retry_after: float | None, dice: float) -> float:
        """Give the wait after the `failures`th pass in a row that went wrong, 1 being the first.

        Who was refused (401, 403) tries no quick tries: they lock accounts. `retry_after` is what a server asked for.
        """
        if not refused and failures < self.attempts:
            wait = self.delay
        else:
            doublings = failures - (1 if refused else self.attempts)
            most = max(LEAST, min(MOST, self.period))
            wait = max(LEAST, min(most, max(LEAST, self.delay) * 2.0 ** min(doublings, 16)) * (1 - _SPREAD * dice))
        return wait if retry_after is None else max(wait, min(retry_after, self.period))
