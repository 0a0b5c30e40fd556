"""When the next pass is due. Seconds in, seconds out; whoever loops has the clock and the dice."""

from typing import NamedTuple

from webhook.settings import RegistrySettings

#: A pass that went well is followed by the next at this part of the time that the credential has.
_EARLY = 0.8
#: Up to this part is taken off at random, so that replicas and clusters spread.
_SPREAD = 0.1
#: However short a life is, and where it is over already, no sooner than this.
MIN_DELAY = 10.0
#: Backing off ends here.
MAX_DELAY = 300.0


class Schedule(NamedTuple):
    """The waits between passes, by `token_ttl`, `retry_attempts` and `retry_delay`."""

    settings: RegistrySettings

    @property
    def period(self) -> float:
        """Seconds: the longest that a credential goes without a pass."""
        return float(self.settings.token_ttl)

    def after_success(self, life: float | None, jitter: float, refresh_after: float | None = None) -> float:
        """Give the wait after a pass that went well; `jitter` is from [0, 1).

        `life` is what the credential has left, `refresh_after` the seconds after which its provider is to be read
        again.
        """
        span = min(value for value in (self.period, life, refresh_after) if value is not None)
        return max(MIN_DELAY, span * _EARLY * (1 - _SPREAD * jitter))

    def after_failure(
        self,
        failures: int,
        *,
        refused: bool,
        retry_after: float | None,
        jitter: float,
        refresh_after: float | None = None,
    ) -> float:
        """Give the wait after the `failures`th pass in a row that went wrong, 1 being the first.

        A refused credential (401, 403) is not tried again before `token_ttl`, because failed logins lock accounts; its
        provider is read again `refresh_after` so many seconds. `retry_after` is what a server asked for.
        """
        if refused:
            wait = (
                self.period
                if refresh_after is None or refresh_after >= self.period
                else self.after_success(None, jitter, refresh_after)
            )
        elif failures < self.settings.retry_attempts:
            wait = float(self.settings.retry_delay)
        else:
            doublings = failures - self.settings.retry_attempts
            most = max(MIN_DELAY, min(MAX_DELAY, self.period))
            doubled = max(MIN_DELAY, self.settings.retry_delay) * 2.0 ** min(doublings, 16)
            wait = max(MIN_DELAY, min(most, doubled) * (1 - _SPREAD * jitter))
        return wait if retry_after is None else max(wait, min(retry_after, self.period))
