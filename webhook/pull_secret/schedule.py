"""When the next refresh is due. Seconds in, seconds out: the loop has the clock and the randomness."""

from typing import NamedTuple

from webhook.settings import RegistrySettings

#: The part of a credential's validity after which the next refresh follows a successful one.
_EARLY = 0.8
#: The largest part that is subtracted at random, so that replicas and clusters do not refresh all at once.
_SPREAD = 0.1
#: The shortest wait, even if a credential is valid for less or has ended.
MIN_DELAY = 10.0
#: The longest wait of the back-off.
MAX_DELAY = 300.0


class Schedule(NamedTuple):
    """The waits between refreshes, from `token_ttl`, `retry_attempts` and `retry_delay`."""

    settings: RegistrySettings

    @property
    def period(self) -> float:
        """The longest time between two refreshes, seconds."""
        return float(self.settings.token_ttl)

    def after_success(self, life: float | None, jitter: float, refresh_after: float | None = None) -> float:
        """Return the wait after a successful refresh; `jitter` is from [0, 1).

        `life` is what remains of the credential's validity. `refresh_after` is when to read its provider again.
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
        """Return the wait after the `failures`th failed refresh in a row, from 1 on.

        A refused credential (401, 403) is not tried again before `token_ttl`, because failed logins lock accounts; its
        provider is read again after `refresh_after` seconds. `retry_after` is what a server asked for.
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
