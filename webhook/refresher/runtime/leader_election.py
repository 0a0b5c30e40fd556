"""Leader election by a Lease: one replica writes.

The rules are those of client-go's leader election: a holder renews, and a replica that sees the Lease unchanged for its
duration, by its own clock, takes it. https://kubernetes.io/docs/concepts/architecture/leases/
"""

import contextlib
import logging
import time
from collections.abc import Callable
from threading import Event

from webhook import log
from webhook.errors import ClusterError, Conflict
from webhook.kube.api import Cluster, HeldLease
from webhook.kube.codec import micro_time
from webhook.kube.objects import LeaseSpec
from webhook.registry.logins import Logins

_log = logging.getLogger("webhook.refresher")

#: Seconds without a renewal after which another may take the Lease; it does so within this plus twice `_RENEWAL`.
LEASE_DURATION = 10.0
#: The longest duration that is accepted from a Lease that another client wrote.
_MAX_DURATION = 20.0
_RENEWAL = 2.0
#: Seconds since the last renewal after which a holder writes nothing more: less than the duration, because the clocks
#: of two machines differ, and requests on their way take time.
_DEADLINE = 7.0
#: Seconds to wait for a response, and for the response to the release.
_TIMEOUT, _RELEASE_TIMEOUT = 3.0, 0.5
STALL_TIMEOUT = 60.0


class LeaderElection:
    """One replica's part in the election.

    `clock` returns monotonic seconds; `on_change` is called when this replica starts or stops leading. `logins` are
    stored with the Lease, so that the next leader knows which logins were refused.
    """

    def __init__(
        self,
        cluster: Cluster,
        identity: str,
        clock: Callable[[], float],
        on_change: Callable[[bool], None],
        logins: Logins | None = None,
    ) -> None:
        self._cluster = cluster
        self._identity = identity
        self._clock = clock
        self._on_change = on_change
        self._logins = logins or Logins(time.time)
        self._lease: HeldLease | None = None
        self._observed_at = 0.0
        """When the Lease was last seen to change."""
        self._until = float("-inf")
        self._notified = False
        self.error: str | None = None
        """Why the Lease could not be read or written at the last attempt."""
        self.ever_held = False
        """Whether any replica has been seen to hold the Lease."""

    def read_refused_logins(self) -> None:
        """Read which logins were refused, if the Lease can be read, without taking part in the election."""
        with contextlib.suppress(ClusterError):
            self._logins.merge(self._cluster.lease(_TIMEOUT).refused_logins)

    def leading(self) -> bool:
        """Whether this replica may write now."""
        return self._clock() < self._until

    @property
    def holder(self) -> str | None:
        """The replica that holds the Lease, as far as is known."""
        if self.leading():
            return self._identity
        holder = self._holder()
        return None if holder == self._identity else holder or None

    def _holder(self) -> str | None:
        return self._lease.spec.holder_identity if self._lease else None

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Take the Lease when it is free and renew it until told to stop, then release it."""
        while not stop.is_set():
            beat()
            wait = self.acquire_or_renew()
            self._notify()
            stop.wait(wait)
        self.release()

    def acquire_or_renew(self) -> float:
        """Read the Lease and do what is due; return the seconds until the next attempt."""
        try:
            wait = self._acquire_or_renew()
        except Conflict:
            self._lease = None  # another client wrote it: read it again
            return _RENEWAL / 4
        except ClusterError as error:
            if self.error is None:
                _log.warning(log.event("Lease update failed, retrying", error=error))
            self.error = str(error)
            return _RENEWAL / 2
        self.error = None
        return wait

    def _acquire_or_renew(self) -> float:
        if self._holder() != self._identity:
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
        """Return the seconds until this replica may write the Lease: none if it holds it, or no replica does."""
        holder = self._holder()
        if self._lease is None or not holder or holder == self._identity:
            return 0.0
        # The holder may be of another version and have taken the Lease for another time.
        written = self._lease.spec.lease_duration_seconds
        duration = written if written and 0 < written <= _MAX_DURATION else LEASE_DURATION
        return self._observed_at + duration - self._clock()

    def _write(self) -> None:
        lease = self._lease or HeldLease(LeaseSpec(), None)
        mine = lease.spec.holder_identity == self._identity
        began = self._clock()
        now = micro_time()
        spec = LeaseSpec(
            holder_identity=self._identity,
            renew_time=now,
            acquire_time=lease.spec.acquire_time if mine else now,
            lease_duration_seconds=int(LEASE_DURATION),
            lease_transitions=(lease.spec.lease_transitions or 0) + (not mine),
        )
        self._lease = self._cluster.write_lease(spec, lease.version, _TIMEOUT, self._logins.recent())
        self._until = began + _DEADLINE
        self.ever_held = True

    def _notify(self) -> None:
        if self.leading() != self._notified:
            self._notified = self.leading()
            if self._notified:
                _log.info(log.event("started leading"))
            else:
                _log.info(log.event("stopped leading"))
            self._on_change(self._notified)

    def release(self) -> None:
        """Release the Lease if this replica holds it, so that another takes it at once."""
        held, self._until = self.leading(), float("-inf")
        if held and self._lease is not None:
            spec = LeaseSpec(None, micro_time(), None, 1, self._lease.spec.lease_transitions)
            try:
                self._cluster.write_lease(spec, self._lease.version, _RELEASE_TIMEOUT, self._logins.recent())
            except ClusterError as error:
                _log.info(log.event("could not release Lease, waiting for it to expire", error=error))
        self._notify()
