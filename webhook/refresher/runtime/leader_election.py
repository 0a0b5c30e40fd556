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
from webhook.kube.api import Cluster, HeldLease
from webhook.kube.codec import micro_time
from webhook.kube.objects import LeaseSpec
from webhook.registry.logins import Logins

_log = logging.getLogger("webhook.refresher")

#: Seconds without a renewal after which another may take the Lease. Taken over within this and twice the next.
LEASE_DURATION = 10.0
#: The longest time that is believed of a Lease which somebody else wrote.
_MAX_DURATION = 20.0
_RENEWAL = 2.0
#: Seconds since the last renewal after which a holder writes nothing more: less than the duration, for the clocks of
#: two machines do not run alike, and what is on its way takes time.
_DEADLINE = 7.0
_TIMEOUT = 3.0
_RELEASE_TIMEOUT = 0.5
STALL_TIMEOUT = 60.0


class LeaderElection:
    """The part of one replica in it."""

    def __init__(
        self,
        cluster: Cluster,
        identity: str,
        clock: Callable[[], float],
        on_change: Callable[[bool], None],
        logins: Logins | None = None,
    ) -> None:
        """Take the replica's name, the monotonic clock, and whom to tell when it begins or ceases to write.

        `logins` are stored with the Lease, so that the next replica that writes knows which were refused.
        """
        self._cluster = cluster
        self._identity = identity
        self._clock = clock
        self._on_change = on_change
        self._logins = logins or Logins(time.time)
        self._lease: HeldLease | None = None
        self._observed_at = 0.0
        self._until = float("-inf")
        self._notified = False
        self.error: str | None = None
        """Why the Lease could not be read or written when that was last tried."""
        self.ever_held = False
        """Whether the Lease has ever been seen in the hands of this replica or another."""

    def read_refused_logins(self) -> None:
        """Learn which logins were refused, as far as the Lease can be read, and take no part in it."""
        with contextlib.suppress(ClusterError):
            self._logins.merge(self._cluster.lease(_TIMEOUT).refused_logins)

    def leading(self) -> bool:
        """Tell whether this replica may write now."""
        return self._clock() < self._until

    @property
    def holder(self) -> str | None:
        """Give the replica that holds the Lease, as far as is known."""
        if self.leading():
            return self._identity
        holder = self._lease.spec.holder_identity if self._lease else None
        return None if holder == self._identity else holder or None

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Take the Lease when it is free, and renew it, until told to stop; then give it up."""
        while not stop.is_set():
            beat()
            wait = self.acquire_or_renew()
            self._notify()
            stop.wait(wait)
        self.release()

    def acquire_or_renew(self) -> float:
        """Look at the Lease and do what is due; give the wait until the next time."""
        try:
            wait = self._acquire_or_renew()
        except Conflict:
            self._lease = None  # somebody else wrote it: it is read again
            return _RENEWAL / 4
        except ClusterError as error:
            if self.error is None:
                _log.warning("%s; this is tried again for as long as it takes", error)
            self.error = str(error)
            return _RENEWAL / 2
        self.error = None
        return wait

    def _acquire_or_renew(self) -> float:
        if self._lease is None or self._lease.spec.holder_identity != self._identity:
            self._observe(self._cluster.lease(_TIMEOUT))
        free_in = self._free_in()
        if free_in > 0:
            return min(_RENEWAL, free_in)
        self._write()
        return _RENEWAL

    def _observe(self, lease: HeldLease) -> None:
        if self._lease is None or lease.version != self._lease.version:
            self._observed_at = self._clock()
        self._lease = lease
        self._logins.merge(lease.refused_logins)
        self.ever_held = self.ever_held or bool(lease.spec.holder_identity)

    def _free_in(self) -> float:
        """Give the seconds until this replica may write the Lease: none if it holds it, or nobody does."""
        holder = self._lease.spec.holder_identity if self._lease else None
        if not holder or holder == self._identity:
            return 0.0
        # By whatever version the holder is: it may have taken the Lease for another time.
        written = self._lease.spec.lease_duration_seconds if self._lease else None
        duration = written if written and 0 < written <= _MAX_DURATION else LEASE_DURATION
        return self._observed_at + duration - self._clock()

    def _write(self) -> None:
        seen = self._lease or HeldLease(LeaseSpec(), None)
        mine = seen.spec.holder_identity == self._identity
        began = self._clock()
        now = micro_time()
        spec = LeaseSpec(
            holder_identity=self._identity,
            renew_time=now,
            acquire_time=seen.spec.acquire_time if mine else now,
            lease_duration_seconds=int(LEASE_DURATION),
            lease_transitions=(seen.spec.lease_transitions or 0) + (not mine),
        )
        self._lease = self._cluster.write_lease(spec, seen.version, _TIMEOUT, self._logins.recent())
        self._until = began + _DEADLINE
        self.ever_held = True

    def _notify(self) -> None:
        if self.leading() != self._notified:
            self._notified = self.leading()
            _log.info("this replica %s", "writes now" if self._notified else "no longer writes")
            self._on_change(self._notified)

    def release(self) -> None:
        """Give the Lease up if it is held, so that another takes it at once."""
        held, self._until = self._until > self._clock(), float("-inf")
        if held and self._lease is not None:
            spec = LeaseSpec(None, micro_time(), None, 1, self._lease.spec.lease_transitions)
            try:
                self._cluster.write_lease(spec, self._lease.version, _RELEASE_TIMEOUT, self._logins.recent())
            except ClusterError as error:
                _log.info("the Lease ends by itself: %s", error)
        self._notify()
