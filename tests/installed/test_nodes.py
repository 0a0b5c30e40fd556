"""Two nodes: replicas spread over them, and a fail-closed installation survives that one is drained or lost."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Manifest, eventually
from tests.e2e.pods import IMAGE, REWRITTEN, images, spec
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM, REFRESHER
from webhook.kube.client import Client

from .installation import DEPLOYMENT, ROLLOUT, Installation, Variant
from .load import Load, making_pods
from .second_node import NAME, SecondNode, is_ready

_Figure = Callable[[str, object], None]

_SPREAD = Variant(components=("fail-closed",))
#: Pods a second: most of those that are sent to a node that does not answer take the whole timeout.
_RATE = 20.0
#: Seconds without a refused Pod after which an outage is over, and until it must be, with all that follows.
_QUIET, _DEADLINE = 15.0, 180.0


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[str]:
    """Give the names of two nodes that run Pods."""
    found = [
        node["metadata"]["name"]
        for node in cluster.items("default", "nodes")
        if not any(taint["effect"] != "PreferNoSchedule" for taint in node["spec"].get("taints", []))
    ]
    if len(found) < 2:
        pytest.skip("the cluster has one node that runs Pods, and spreading needs two")
    return found


@pytest.fixture(scope="module")
def spread(fail_closed: Installation, nodes: list[str]) -> Installation:
    """Apply the installation with as many replicas as it ships with, fail-closed."""
    assert nodes
    fail_closed.write(_SPREAD)
    fail_closed.apply()
    fail_closed.wait()
    return fail_closed


@pytest.fixture
def second_node(cluster: Cluster, nodes: list[str]) -> SecondNode:
    """Give the node that may be lost."""
    files, command = (os.environ.get(f"E2E_NODE2_{name}") for name in ("PIDS", "START"))
    if not files or not command or NAME not in nodes:
        pytest.skip("E2E_NODE2_PIDS and E2E_NODE2_START do not say which processes node2 is and how it is started")
    return SecondNode(cluster, [Path(name) for name in files.split()], command)


def _replicas(installation: Installation) -> list[Manifest]:
    """Return the Pods that are ready."""
    return [
        pod
        for pod in installation.cluster.items(DEFAULT_NAMESPACE, "pods")
        if "deletionTimestamp" not in pod["metadata"]
        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    ]


def _nodes_of(installation: Installation) -> list[str]:
    return sorted(pod["spec"]["nodeName"] for pod in _replicas(installation))


def _restart(installation: Installation) -> None:
    installation.cluster.kubectl("rollout", "restart", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
    installation.wait()


def test_replicas_spread_over_nodes_after_update(spread: Installation, nodes: list[str]) -> None:
    """Several times, because two of four placements are spread by chance."""
    for _ in range(4):
        _restart(spread)
        eventually("two replicas are ready", lambda: len(_replicas(spread)) == 2, 30.0)
        assert _nodes_of(spread) == sorted(nodes)


@pytest.mark.parametrize("number", [0, 1])
def test_node_drained_no_pod_missed(  # noqa: PLR0913, PLR0917 - fixtures
    spread: Installation, served: str, api: Client, nodes: list[str], figure: _Figure, number: int
) -> None:
    """Draining either node, also the one that has both replicas after the other was drained."""
    cluster, node = spread.cluster, nodes[number]
    ours = f"--pod-selector=app.kubernetes.io/name={PROGRAM}"
    options = (ours, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=15s")
    try:
        with making_pods([api], served) as load, load.around():
            eventually(f"{node} is drained", lambda: not cluster.run("drain", node, *options).status, ROLLOUT)
            eventually("the replicas are elsewhere", lambda: len(_replicas(spread)) == 2, ROLLOUT)
            assert node not in _nodes_of(spread)
    finally:
        cluster.kubectl("uncordon", node)
    figure(f"Node drained, of two replicas {['one', 'both'][number]}, fail-closed", load.taken().all_rewritten())


def _holder(cluster: Cluster) -> str:
    lease = cluster.get(DEFAULT_NAMESPACE, f"lease/{REFRESHER}")
    return str(lease["spec"].get("holderIdentity") or "")


def _deployment(name: str, replicas: int) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec(app=IMAGE)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def _timed(events: dict[str, Callable[[], bool]]) -> dict[str, float]:
    """Return after how many seconds each condition has become true. Some are missing if the deadline is over."""
    began, seen = time.monotonic(), dict[str, float]()
    while seen.keys() != events.keys() and time.monotonic() < began + _DEADLINE:
        for what in events.keys() - seen.keys():
            if events[what]():
                seen[what] = time.monotonic() - began
        time.sleep(0.2)
    return seen


def _is_over(load: Load) -> bool:
    """Return whether Pods have been created for some time, and none was refused."""
    latest = [answer for answer in load.taken().answers if answer.ended > time.monotonic() - _QUIET]
    return len(latest) > _QUIET * _RATE / 2 and all(answer.rewritten for answer in latest)


@pytest.mark.parametrize("silent", [False, True], ids=["processes-killed", "no-power"])
def test_node_lost_other_replica_serves(  # noqa: PLR0913 - fixtures
    spread: Installation, served: str, api: Client, second_node: SecondNode, figure: _Figure, *, silent: bool
) -> None:
    """The replica that holds the Lease is on the lost node."""
    cluster = spread.cluster
    _restart(spread)
    eventually("each node has a replica", lambda: len(set(_nodes_of(spread))) == 2, ROLLOUT)
    (here,) = (pod for pod in _replicas(spread) if pod["spec"]["nodeName"] != NAME)
    (lost,) = (pod for pod in _replicas(spread) if pod["spec"]["nodeName"] == NAME)
    name = lost["metadata"]["name"]
    if not _holder(cluster).startswith(name):
        cluster.kubectl("delete", "pod", here["metadata"]["name"], "--namespace", DEFAULT_NAMESPACE)
        eventually("the replica on the second node leads", lambda: _holder(cluster).startswith(name), 60.0)
        eventually("each node has a replica", lambda: len(set(_nodes_of(spread))) == 2, ROLLOUT)

    workload = f"lost-{silent}".lower()
    events = {
        "the other replica holds the Lease": lambda: not _holder(cluster).startswith(name),
        "the node is reported as not ready": lambda: not is_ready(cluster, NAME),
        "a Deployment created at once has its ten Pods": lambda: (
            [images(pod)["app"] for pod in cluster.items(served, "pods", f"app={workload}")] == [REWRITTEN] * 10
        ),
        "two replicas are ready again": lambda: len(_replicas(spread)) == 2 and NAME not in _nodes_of(spread),
    }
    with making_pods([api], served, _RATE) as load:
        time.sleep(5)
        before = load.taken().all_rewritten()
        assert before.answers
        with second_node.lost([lost], silent=silent):
            cluster.create(served, _deployment(workload, 10))
            seen = _timed(events)
            eventually("no Pod is refused", lambda: _is_over(load), _DEADLINE)
        taken = load.taken()
    assert seen.keys() == events.keys(), seen
    cluster.kubectl("delete", f"deployment/{workload}", "--namespace", served)
    how = f"Node lost ({'nothing answers' if silent else 'its processes are killed'}), fail-closed"
    figure(f"{how}: {len(taken.refused)} of {len(taken.answers)} Pods refused within", taken.window)
    for what in events:
        figure(f"{how}: {what} after", seen[what])
    # A Pod is refused, but never created as it was written.
    assert all(answer.rewritten for answer in taken.answers if answer.refused is None)
    assert cluster.exists(DEFAULT_NAMESPACE, DEPLOYMENT)
