"""Fakes for time and cluster: a clock, an Event that advances it instead of waiting, and a cluster in memory."""

import threading
from collections.abc import Callable
from typing import Any, cast

from webhook.errors import ClusterError, Conflict
from webhook.kube.api import Cluster, HeldLease, Listing
from webhook.kube.objects import LeaseSpec
from webhook.pull_secret.manifest import Published
from webhook.refresher.runtime.clock import Clocks

WALL = 1_790_000_000.0


class Clock:
    """A clock that advances only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 0.0
        """Seconds by which the wall clock is ahead of the monotonic one."""

    def wall(self) -> float:
        return WALL + self.now - 1000.0 + self.ahead

    def __call__(self) -> float:
        return self.now

    def clocks(self, dice: float = 0.0) -> Clocks:
        return Clocks(monotonic=self, wall=self.wall, random=lambda: dice)


class Stop(threading.Event):
    """An Event whose `wait` advances the clock; it is set at a given time."""

    def __init__(self, clock: Clock, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._clock = clock
        self._end = clock.now + seconds
        self._meanwhile = meanwhile

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert timeout > 0, "a hot loop"
        self._clock.now += timeout
        self._meanwhile()
        if self._clock.now >= self._end:
            self.set()
        return self.is_set()


class _Empty:
    """A kind without objects."""

    def __init__(self, cluster: "StandIn") -> None:
        self._cluster = cluster

    def list(self) -> Listing[Any]:
        if self._cluster.fault is not None:
            raise self._cluster.fault
        self._cluster.lists += 1
        return Listing([], "1")


class StandIn:
    """A cluster with a Lease and nothing else."""

    namespace = "registry-webhook"

    def __init__(self) -> None:
        self.namespace = "registry-webhook"
        self.fault: ClusterError | None = None
        """The error of every request, if any."""
        self.events: list[dict[str, Any]] = []
        self.lists = 0
        self.published_in: dict[str, Published] = {}
        self.namespaces = self.secrets = _Empty(self)
        self.stored = HeldLease(LeaseSpec(), None)
        self._versions = 0

    @property
    def cluster(self) -> Cluster:
        """Return it as the type it stands in for."""
        return cast("Cluster", self)

    def published(self, namespace: str) -> Published | None:
        self._fail()
        return self.published_in.get(namespace)

    def create_event(self, event: dict[str, Any]) -> None:
        self._fail()
        self.events.append(event)

    def lease(self, silence: float) -> HeldLease:
        assert 0 < silence <= 3
        self._fail()
        return self.stored

    def write_lease(
        self, spec: LeaseSpec, version: str | None, silence: float, refused: tuple[float, ...] = ()
    ) -> HeldLease:
        assert 0 < silence <= 3
        self._fail()
        if version != self.stored.version:
            raise Conflict("cannot write the Lease: the object has been modified (409)")
        self._versions += 1
        self.stored = HeldLease(spec, str(self._versions), refused)
        return self.stored

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault
