"""Pods can be created after removal in any order, and at any time during removal in the documented order."""

import time
from collections.abc import Callable

import pytest

from tests.e2e.cluster import Cluster, eventually
from tests.e2e.installation import cleanup
from tests.e2e.pods import PULL_SECRET
from webhook.constants import DEFAULT_NAMESPACE, PROGRAM
from webhook.kube.client import Client

from .installation import CONFIGURATION, DEPLOYMENT, LEAVING, REPAIR, Installation, Variant
from .load import Load, making_pods

_Figure = Callable[[str, object], None]

#: Pods a second: enough to see a gap.
_RATE = 20.0


def _all_made_from_now_on(load: Load) -> bool:
    latest = load.taken().answers[-20:]
    return len(latest) == 20 and all(answer.refused is None for answer in latest)


def test_namespace_deleted_first_fail_closed_recovers(
    fail_closed: Installation, served: str, unserved: str, api: Client, figure: _Figure
) -> None:
    """The order that nobody should take: the window in which Pods are refused ends without anybody's help."""
    cluster = fail_closed.cluster
    with making_pods([api], served, _RATE) as load, making_pods([api], unserved, rate=5) as elsewhere:
        began = time.monotonic()
        cluster.kubectl("delete", "namespace", DEFAULT_NAMESPACE, "--wait=false")
        eventually(
            "the namespace is gone", lambda: not cluster.exists("default", f"namespace/{DEFAULT_NAMESPACE}"), LEAVING
        )
        figure("Namespace deleted to gone", time.monotonic() - began)
        eventually("nothing calls the webhook", lambda: not cluster.exists("default", CONFIGURATION), LEAVING)
        eventually("Pods are made", lambda: _all_made_from_now_on(load))
    figure("Namespace deleted first, fail-closed: Pods refused for", load.taken().window)
    elsewhere.taken().all_made()

    # The rest goes as ever, but for the pull secrets: Pods that run name them.
    fail_closed.delete("--wait=false")
    assert fail_closed.left() == []
    assert f"{served}/{PULL_SECRET}" in fail_closed.pull_secrets()
    ran = cleanup()
    assert ran.status == 0, ran.stderr
    assert fail_closed.pull_secrets() == []


@pytest.fixture(scope="module")
def again(fail_closed: Installation) -> Installation:
    """Install it once more, as it ships."""
    fail_closed.write(Variant())
    fail_closed.apply()
    fail_closed.wait()
    return fail_closed


@pytest.fixture(scope="module")
def in_force(again: Installation, served: str) -> Installation:
    """Have the namespace's pull secret there again."""
    eventually("there is a pull secret", lambda: f"{served}/{PULL_SECRET}" in again.pull_secrets())
    return again


def test_deployment_deleted_first_fail_open_pods_created(in_force: Installation, served: str, api: Client) -> None:
    cluster = in_force.cluster
    with making_pods([api], served, _RATE) as load:
        cluster.kubectl("delete", DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE)
        eventually("its Pods are gone", lambda: not cluster.items(DEFAULT_NAMESPACE, "pods"), LEAVING)
        time.sleep(2)
        taken = load.taken().all_made()
        assert not any(answer.rewritten for answer in taken.answers[-20:])
        assert f"{served}/{PULL_SECRET}" in in_force.pull_secrets()
        # And by applying it again all is as it was.
        in_force.apply()
        in_force.wait()
        eventually("Pods are rewritten", load.rewrites)
    load.taken().all_made()


def test_webhook_configuration_deleted_first_pods_created(
    in_force: Installation, served: str, api: Client, figure: _Figure
) -> None:
    with making_pods([api], served, _RATE) as load:
        in_force.cluster.kubectl("delete", CONFIGURATION)
        time.sleep(2)
        assert f"{served}/{PULL_SECRET}" in in_force.pull_secrets()
        assert not any(answer.rewritten for answer in load.taken().answers[-20:])
        in_force.apply()
        began = time.monotonic()
        eventually("it has its bundle again", in_force.bundle, REPAIR)
        figure("Webhook configuration made again to caBundle in it", time.monotonic() - began)
        eventually("Pods are rewritten", load.rewrites)
    load.taken().all_made()


def test_cleanup_stop_then_delete_leaves_nothing(
    in_force: Installation, served: str, api: Client, figure: _Figure
) -> None:
    """The order that is documented, from an installation that is fail-closed."""
    in_force.write(Variant(components=("fail-closed",)))
    in_force.apply()
    in_force.wait()
    assert in_force.webhook()["webhooks"][0]["failurePolicy"] == "Fail"
    with making_pods([api], served, _RATE) as load:
        time.sleep(1)
        began = time.monotonic()
        ran = cleanup("--stop")
        assert ran.status == 0, ran.stdout + ran.stderr
        figure("cleanup --stop", time.monotonic() - began)
        assert in_force.pull_secrets() == []
        began = time.monotonic()
        in_force.delete()
        figure("kubectl delete -k after it", time.monotonic() - began)
        eventually("nothing is left", lambda: not in_force.left(), LEAVING)
        time.sleep(1)
    figure("Removal of a fail-closed installation", load.taken().all_made())
    assert _secrets(in_force.cluster) == []
    assert in_force.pull_secrets() == []


def _secrets(cluster: Cluster) -> list[str]:
    """Name all Secrets that are called like ours, whatever labels they have."""
    words = ("get", "secrets", "--all-namespaces", "--output=jsonpath={.items[*].metadata.name}")
    return [name for name in cluster.kubectl(*words).stdout.split() if name.startswith(PROGRAM)]
