"""One replica leads: never two at once, never none for long, and a stopping replica releases the Lease."""

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import Clock, StandIn, Stop
from webhook.errors import Conflict, Forbidden, Unreachable
from webhook.kube.api import Cluster, HeldLease
from webhook.kube.objects import LeaseSpec
from webhook.refresher.runtime.leader_election import LeaderElection
from webhook.registry.logins import Logins

_LOST = Unreachable("cannot write the Lease: no answer in time")


def replica(
    name: str, cluster: StandIn, clock: Clock, turned: Callable[[bool], None] = lambda _: None
) -> LeaderElection:
    return LeaderElection(cluster.cluster, name, clock, turned)


class Pair:
    """Two replicas of one cluster, by one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.server = StandIn()
        self.a = replica("a", self.server, self.clock)
        self.b = replica("b", self.server, self.clock)

    def live(self, seconds: float, *alive: LeaderElection) -> None:
        """Let time pass, with each replica doing its rounds when they are due."""
        due = dict.fromkeys(alive, self.clock.now)
        end = self.clock.now + seconds
        while due and (now := min(due.values())) <= end:
            self.clock.now = now
            one = min(due, key=lambda leadership: due[leadership])
            due[one] = now + one.acquire_or_renew()
            assert due[one] > now, "a hot loop"
            assert not (self.a.leading() and self.b.leading())
        self.clock.now = end


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_election_first_replica_leads_and_renews(pair: Pair) -> None:
    for _ in range(50):
        pair.live(1.0, pair.a, pair.b)
        assert (pair.a.leading(), pair.b.leading()) == (True, False)
    spec = pair.server.stored.spec
    assert (spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions) == ("a", 10, 1)
    assert pair.a.holder == "a"
    assert pair.b.holder == "a"
    assert pair.a.ever_held
    assert pair.b.ever_held


@given(until=st.floats(0, 60), behind=st.floats(0, 2))
def test_election_killed_leader_replaced_within_15_seconds(until: float, behind: float) -> None:
    pair = Pair()
    pair.a.acquire_or_renew()
    pair.live(behind, pair.a)
    pair.live(until, pair.a, pair.b)
    assert pair.a.leading()
    killed = pair.clock.now
    ended = pair.a._until  # noqa: SLF001 - until then its last writes can be on their way
    while not pair.b.leading():
        pair.live(0.25, pair.b)
        assert pair.clock.now - killed <= 15
    assert pair.clock.now >= ended
    assert pair.server.stored.spec.lease_transitions == 2


def test_election_stopped_leader_releases_at_once(pair: Pair) -> None:
    told: list[bool] = []
    leader = replica("leader", pair.server, pair.clock, told.append)
    beats: list[float] = []
    leader.run(Stop(pair.clock, 30), lambda: beats.append(pair.clock.now))
    assert told == [True, False]
    assert not leader.leading()
    assert pair.server.stored.spec.holder_identity is None
    assert max(later - sooner for sooner, later in pairwise(beats)) <= 3
    pair.b.acquire_or_renew()
    assert pair.b.leading()


@pytest.mark.parametrize("written", ["1970-01-01T00:00:00.000000Z", "2028-11-01T00:00:00.000000Z", None])
def test_election_lease_timestamps_ignored(pair: Pair, written: str | None) -> None:
    spec = LeaseSpec("c", written, written, 10, 1)
    pair.server.write_lease(spec, None, 1)
    began = pair.clock.now
    # One that is renewed is somebody's.
    for _ in range(10):
        pair.live(5, pair.a)
        pair.server.write_lease(spec, pair.server.stored.version, 1)
        assert not pair.a.leading()
    # And one that is not is free when its duration is over.
    pair.live(9.9, pair.a)
    assert not pair.a.leading()
    pair.live(5, pair.a)
    assert pair.a.leading()
    assert pair.clock.now - began < 70


def test_election_follower_release_no_effect(pair: Pair) -> None:
    pair.live(5, pair.a, pair.b)
    pair.b.release()
    assert pair.a.leading()
    assert pair.server.stored.spec.holder_identity == "a"


def test_election_release_failure_lease_expires(pair: Pair) -> None:
    pair.live(5, pair.a, pair.b)
    pair.server.fault = _LOST
    pair.a.release()
    assert not pair.a.leading()
    pair.server.fault = None
    pair.live(11, pair.b)
    assert pair.b.leading()


@pytest.mark.parametrize("fault", [_LOST, Forbidden("cannot write the Lease: no right (403)")])
def test_election_renewal_failure_leads_seven_seconds(pair: Pair, fault: Unreachable | Forbidden) -> None:
    pair.live(20, pair.a)
    renewed = pair.a._until - 7  # noqa: SLF001 - when it last asked
    pair.server.fault = fault
    pair.live(renewed + 6.9 - pair.clock.now, pair.a)
    assert pair.a.leading()
    pair.live(0.2, pair.a)
    assert not pair.a.leading()
    assert pair.a.error == str(fault)
    assert pair.a.holder is None
    pair.live(600, pair.a)
    pair.server.fault = None
    pair.live(2, pair.a)
    assert pair.a.leading()
    assert pair.a.error is None


def test_election_callback_once_per_transition() -> None:
    clock, server, told = Clock(), StandIn(), list[tuple[float, bool]]()
    leader = replica("a", server, clock, lambda leading: told.append((clock.now, leading)))

    def meanwhile() -> None:
        server.fault = _LOST if 1020 <= clock.now < 1040 else None

    leader.run(Stop(clock, 60, meanwhile), lambda: None)
    assert [leading for _, leading in told] == [True, False, True, False]
    ceased, again = told[1][0], told[2][0]
    assert 1024 <= ceased <= 1029
    assert 1040 <= again <= 1042


def test_election_deleted_lease_recreated(pair: Pair) -> None:
    pair.live(5, pair.a)
    pair.server.stored = HeldLease(LeaseSpec(), None)
    pair.live(5, pair.a)
    assert pair.a.leading()
    assert pair.server.stored.spec.holder_identity == "a"


def test_election_lease_duration_of_holder_honored(pair: Pair) -> None:
    """An older version, beside us during a rollout, may hold it for longer."""
    pair.server.stored = HeldLease(LeaseSpec("older", None, None, 15, 5), "0")
    pair.live(14.9, pair.a)
    assert not pair.a.leading()
    pair.live(2, pair.a)
    assert pair.a.leading()


def test_election_stale_lease_taken_by_own_clock(pair: Pair) -> None:
    """What is written in it is another machine's time, far off as it may be."""
    written = LeaseSpec("gone", "2999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z", 86_400, 5)
    pair.server.stored = HeldLease(written, "0")
    pair.live(9.9, pair.a)
    assert not pair.a.leading()
    pair.live(0.2, pair.a)
    assert pair.a.leading()
    assert pair.server.stored.spec.lease_transitions == 6


class Network:
    """What is between a replica and the Lease: whatever hypothesis thinks of happens before and after each request."""

    def __init__(self, server: StandIn, meanwhile: Callable[[], None], lost: Callable[[], bool]) -> None:
        self._server = server
        self._meanwhile = meanwhile
        self._lost = lost

    def lease(self, silence: float) -> HeldLease:
        self._meanwhile()
        held = self._server.lease(silence)
        self._meanwhile()
        if self._lost():
            raise _LOST
        return held

    def write_lease(
        self, spec: LeaseSpec, version: str | None, silence: float, refused: tuple[float, ...] = ()
    ) -> HeldLease:
        self._meanwhile()
        if self._lost():
            raise _LOST  # before it came there
        try:
            held = self._server.write_lease(spec, version, silence, refused)
        except Conflict:
            self._meanwhile()
            raise
        self._meanwhile()
        if self._lost():
            raise _LOST  # after it was written
        return held


def test_election_slow_response_counts_from_request(pair: Pair) -> None:
    """For others have seen the Lease since then, and take it in their time."""

    def meanwhile() -> None:
        pair.clock.now += 1.5

    network = Network(pair.server, meanwhile, lambda: False)
    slow = LeaderElection(cast("Cluster", network), "slow", pair.clock, lambda _: None)
    began = pair.clock.now + 3  # it is read first, with as much on the way
    slow.acquire_or_renew()
    assert slow.leading()
    pair.clock.now = began + 6.9
    assert slow.leading()
    pair.clock.now = began + 7
    assert not slow.leading()


_STEPS = (0.0, 0.0, 0.5, 2.0, 3.0, 6.9, 7.0, 10.0, 30.0)


@settings(max_examples=max(300, settings().max_examples))
@given(st.binary(min_size=50, max_size=400))
def test_election_never_two_leaders(chances: bytes) -> None:
    clock, server = Clock(), StandIn()
    busy: set[str] = set()
    replicas: dict[str, LeaderElection] = {}
    left = iter(chances)

    def chance(sides: int) -> int:
        """Throw a die; once all are thrown it is always 0."""
        return next(left, 0) % sides

    def pass_time() -> None:
        clock.now += _STEPS[chance(len(_STEPS))]
        assert sum(one.leading() for one in replicas.values()) <= 1

    def act() -> None:
        """Have a replica act, unless it waits for an answer."""
        name = "abc"[chance(3)]
        if name in busy:
            return
        busy.add(name)
        if chance(10) == 1:
            replicas[name].release()
        else:
            replicas[name].acquire_or_renew()
        busy.discard(name)
        assert sum(one.leading() for one in replicas.values()) <= 1

    def meanwhile() -> None:
        pass_time()
        for _ in range(max(0, chance(7) - 3)):
            act()
            pass_time()

    network = Network(server, meanwhile, lambda: chance(5) == 1)
    for name in "abc":
        replicas[name] = LeaderElection(cast("Cluster", network), name, clock, lambda _: None)
    while next(left, None) is not None:
        act()
        pass_time()


def test_election_lease_carries_refused_logins(pair: Pair) -> None:
    logins = {name: Logins(pair.clock.wall) for name in ("old", "new")}
    old, new = (
        LeaderElection(pair.server.cluster, name, pair.clock, lambda _: None, logins[name]) for name in ("old", "new")
    )
    pair.live(3, old)
    for _ in range(3):
        logins["old"].refused()
    pair.live(3, old)
    old.release()
    new.acquire_or_renew()
    assert new.leading()
    assert logins["new"].recent() == logins["old"].recent()
    assert logins["new"].wait() > 0
    pair.live(30, new)
    assert len(logins["new"].recent()) == 3
