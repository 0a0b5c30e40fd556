"""A cluster-wide installation selects all namespaces except opted-out and denied ones, and those it needs itself."""

from collections.abc import Callable, Iterator

import pytest

from tests.e2e import node
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.pods import IMAGE, PULL_SECRET, REWRITTEN, becomes
from tests.e2e.refresher import published
from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, SYSTEM_NAMESPACES

from .installation import Installation, Variant

#: Two of those that the component denies, by name and by prefix, and that this cluster has no use for.
_DENIED = ("longhorn-system", "openshift-e2e")


@pytest.fixture(scope="module")
def wide(from_nothing: Installation) -> Installation:
    """Install it so, on a cluster that has nothing of it."""
    from_nothing.write(Variant(components=("cluster-wide", "fail-closed")))
    from_nothing.apply()
    from_nothing.wait()
    return from_nothing


@pytest.fixture(scope="module")
def denied(cluster: Cluster) -> Iterator[tuple[str, ...]]:
    """Make the namespaces that are denied."""
    try:
        for name in _DENIED:
            cluster.kubectl("create", "namespace", name)
            eventually("it has its service account", lambda: cluster.exists(name, "serviceaccount/default"))  # noqa: B023
        yield _DENIED
    finally:
        cluster.kubectl("delete", "namespace", *_DENIED, "--wait=false", "--ignore-not-found")


def test_unlabelled_namespace_runs_private_image(wide: Installation, figure: Callable[[str, object], None]) -> None:
    cluster = wide.cluster
    namespace = cluster.make_namespace({})
    eventually("there is a pull secret", lambda: published(cluster, namespace))
    eventually("Pods are rewritten", lambda: becomes(cluster, namespace) == REWRITTEN)
    node.runs(cluster, namespace, node.written("app", secret=False))
    figure("Cluster-wide: namespaces with a pull secret", len(wide.pull_secrets()))


def test_opted_out_namespace_untouched(wide: Installation) -> None:
    namespace = wide.cluster.make_namespace({ENABLED_LABEL: "false"})
    assert becomes(wide.cluster, namespace) == IMAGE
    assert published(wide.cluster, namespace) is None


def test_system_namespaces_untouched(wide: Installation, denied: tuple[str, ...]) -> None:
    never = {*SYSTEM_NAMESPACES, DEFAULT_NAMESPACE, *denied}
    for namespace in never - {DEFAULT_NAMESPACE}:  # which takes no Pod that is not restricted
        assert becomes(wide.cluster, namespace) == IMAGE
    assert not {f"{namespace}/{PULL_SECRET}" for namespace in never} & {*wide.pull_secrets()}


def test_webhook_down_system_pods_still_created(wide: Installation, denied: tuple[str, ...]) -> None:
    cluster = wide.cluster
    namespace = cluster.make_namespace({})
    cluster.kubectl("scale", "deployment/registry-webhook", "--namespace", DEFAULT_NAMESPACE, "--replicas=0")
    eventually("its Pods are gone", lambda: not cluster.items(DEFAULT_NAMESPACE, "pods"), 60.0)
    eventually("Pods are refused elsewhere", lambda: becomes(cluster, namespace) is None)
    for safe in ("kube-system", *denied):
        assert becomes(cluster, safe) == IMAGE
    wide.apply()
    wide.wait()
    eventually("Pods are made again", lambda: becomes(cluster, namespace) is not None)
