"""One replica writes: whoever holds the Lease.

The rules are those of client-go's leader election: a holder renews; whoever sees that the Lease has not changed for
its duration, by a clock of its own, takes it. https://kubernetes.io/docs/concepts/architecture/leases/
"""

import contextlib
import logging
import time
from collections.abc import Callable
from threading import Event

from webhook.errors import ClusterError, Conflict
from webhook.kube.api import Cluster, Held
from webhook.kube.codec import LeaseSpec, micro_time
from webhook.registry.logins import Logins

_log = logging.getLogger("webhook.refresher")

#: Seconds without a renewal after which another may take the Lease. Taken over within this and twice the next.
DURATION = 10.0
#: The longest time that is believed of a Lease which somebody else wrote.
_LONGEST = 20.0
_RENEWAL = 2.0
#: Seconds since the last renewal after which a holder writes nothing more: less than the duration, for the clocks of
#: two machines do not run alike, and what is on its way takes time.
_DEADLINE = 7.0
_SILENCE = 3.0
_GIVING_UP = 0.5
STALLED = 60.0


class Leadership:
    """The part of one replica in it."""

    def __init__(
        self,
        cluster: Cluster,
        identity: str,
        clock: Callable[[], float],
        turned: Callable[[bool], None],
        logins: Logins | None = None,
    ) -> None:
        """Take the replica's name, the monotonic clock, and whom to tell when it begins or ceases to write.

        `logins` are stored with the Lease, so that the next replica that writes knows which were refused.
        """
        self._cluster = cluster
        self._identity = identity
        self._clock = clock
        self._turned = turned
        self._logins = logins or Logins(time.time)
        self._seen: Held | None = None
        self._seen_at = 0.0
        self._until = float("-inf")
        self._told = False
        self.fault: str | None = None
        """Why the Lease could not be read or written when that was last tried."""
        self.held = False
        """Whether the Lease has ever been seen in the hands of this replica or another."""

    def read_refused_logins(self) -> None:
        """Learn which logins were refused, as far as the Lease can be read, and take no part in it."""
        with contextlib.suppress(ClusterError):
            self._logins.merge(self._cluster.lease(_SILENCE).refused)

    def leading(self) -> bool:
        """Tell whether this replica may write now."""
        return self._clock() < self._until

    @property
    def holder(self) -> str | None:
        """Give the replica that holds the Lease, as far as is known."""
        if self.leading():
            return self._identity
        holder = self._seen.spec.holder_identity if self._seen else None
        return None if holder == self._identity else holder or None

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Take the Lease when it is free, and renew it, until told to stop; then give it up."""
        while not stop.is_set():
            beat()
            wait = self.round()
            self._tell()
            stop.wait(wait)
        self.give_up()

    def round(self) -> float:
        """Look at the Lease and do what is due; give the wait until the next time."""
        try:
            wait = self._round()
        except Conflict:
            self._seen = None  # somebody else wrote it: it is read again
            return _RENEWAL / 4
        except ClusterError as error:
            if self.fault is None:
                _log.warning("%s; this is tried again for as long as it takes", error)
            self.fault = str(error)
            return _RENEWAL / 2
        self.fault = None
        return wait

    def _round(self) -> float:
        if self._seen is None or self._seen.spec.holder_identity != self._identity:
            self._see(self._cluster.lease(_SILENCE))
        free_in = self._free_in()
        if free_in > 0:
            return min(_RENEWAL, free_in)
        self._write()
        return _RENEWAL

    def _see(self, held: Held) -> None:
        if self._seen is None or held.version != self._seen.version:
            self._seen_at = self._clock()
        self._seen = held
        self._logins.merge(held.refused)
        self.held = self.held or bool(held.spec.holder_identity)

    def _free_in(self) -> float:
        """Give the seconds until this replica may write the Lease: none if it holds it, or nobody does."""
        holder = self._seen.spec.holder_identity if self._seen else None
        if not holder or holder == self._identity:
            return 0.0
        # By whatever version the holder is: it may have taken the Lease for another time.
        written = self._seen.spec.lease_duration_seconds if self._seen else None
        duration = written if written and 0 < written <= _LONGEST else DURATION
        return self._seen_at + duration - self._clock()

    def _write(self) -> None:
        seen = self._seen or Held(LeaseSpec(), None)
        mine = seen.spec.holder_identity == self._identity
        began = self._clock()
        now = micro_time()
        spec = LeaseSpec(
            holder_identity=self._identity,
            renew_time=now,
            acquire_time=seen.spec.acquire_time if mine else now,
            lease_duration_seconds=int(DURATION),
            lease_transitions=(seen.spec.lease_transitions or 0) + (not mine),
        )
        self._seen = self._cluster.write_lease(spec, seen.version, _SILENCE, self._logins.recent())
        self._until = began + _DEADLINE
        self.held = True

    def _tell(self) -> None:
        if self.leading() != self._told:
            self._told = self.leading()
            _log.info("this replica %s", "writes now" if self._told else "no longer writes")
            self._turned(self._told)

    def give_up(self) -> None:
        """Give the Lease up if it is held, so that another takes it at once."""
        held, self._until = self._until > self._clock(), float("-inf")
        if held and self._seen is not None:
            spec = LeaseSpec(None, micro_time(), None, 1, self._seen.spec.lease_transitions)
            try:
                self._cluster.write_lease(spec, self._seen.version, _GIVING_UP, self._logins.recent())
            except ClusterError as error:
                _log.info("the Lease ends by itself: %s", error)
        self._tell()
