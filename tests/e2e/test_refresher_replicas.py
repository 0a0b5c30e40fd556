"""Two refreshers with different passwords: one writes, and the other takes over."""

import time
from collections.abc import Callable, Iterator

import pytest

from webhook.constants import ENABLED_LABEL

from .cluster import Cluster, eventually
from .refresher import Settings, Sidecar, free_lease, has_password, version

pytestmark = pytest.mark.usefixtures("discreet")

_Figure = Callable[[str, float], None]

#: A Lease that nobody renews is taken over within 15 seconds, on a machine that is not busy.
_TAKEN_OVER = 20.0
#: One that is given up is free at once, and the other looks at it every two seconds.
_GIVEN_UP = 8.0


@pytest.fixture
def replicas(cluster: Cluster, make_sidecar: Callable[[Settings], Sidecar]) -> Iterator[tuple[Sidecar, Sidecar]]:
    """Run two with different passwords, the one that writes first."""
    first, second = (make_sidecar({}) for _ in range(2))
    try:
        for replica in (first, second):
            replica.set_password()
            replica.start()
            first.wait_until_leading()
        yield first, second
    finally:
        for replica in (first, second):
            replica.stop()
        free_lease(cluster)


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """Make a namespace that is opted in."""
    return cluster.start_namespace({ENABLED_LABEL: "true"})


def test_replicas_different_passwords_only_leader_writes(
    cluster: Cluster, replicas: tuple[Sidecar, Sidecar], namespace: str, figure: _Figure
) -> None:
    first, second = replicas
    has_password(cluster, namespace, first.password)
    before = version(cluster, namespace)
    for _ in range(3):
        for replica in replicas:
            replica.pass_again()
    assert version(cluster, namespace) == before
    # They have not taken turns before either, until they tired of it.
    assert not any(second.writes().values())
    assert first.metric("repairs_total") == 0
    assert [replica.metric("leading") for replica in replicas] == [1, 0]
    assert "(this replica)" not in second.ask("/readyz")[1]

    began = time.monotonic()
    figure("SIGTERM to exit", first.stop())
    has_password(cluster, namespace, second.password, _GIVEN_UP)
    figure("SIGTERM to the other replica's write", time.monotonic() - began)
    assert version(cluster, namespace)[0] == before[0]


def test_leader_killed_other_replica_takes_over(
    cluster: Cluster, replicas: tuple[Sidecar, Sidecar], namespace: str, figure: _Figure
) -> None:
    first, second = replicas
    has_password(cluster, namespace, first.password)
    uid, _ = version(cluster, namespace)
    began = time.monotonic()
    first.kill()
    eventually("the other writes", lambda: second.metric("leading") == 1, _TAKEN_OVER)
    figure("SIGKILL to the other replica's Lease", time.monotonic() - began)
    has_password(cluster, namespace, second.password)
    assert version(cluster, namespace)[0] == uid
