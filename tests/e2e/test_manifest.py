"""The manifest according to the API server, and properties that no request can show without disturbing a cluster."""

from webhook.constants import DEFAULT_NAMESPACE, SYSTEM_NAMESPACES

from .cluster import Cluster
from .installation import MANIFEST, shipped


def test_manifest_accepted_by_strict_validation(cluster: Cluster) -> None:
    ran = cluster.kubectl("apply", "--dry-run=server", "--validate=strict", f"--filename={MANIFEST}")
    assert not ran.warnings


def test_manifest_without_ca_bundle() -> None:
    (webhook,) = shipped()["webhooks"]
    assert set(webhook["clientConfig"]) == {"service"}


def test_manifest_excludes_system_and_own_namespaces() -> None:
    (webhook,) = shipped()["webhooks"]
    # The API server sets this label itself, so it cannot be tried out on a namespace of our own.
    kept_off = {
        name
        for expression in webhook["namespaceSelector"]["matchExpressions"]
        if expression["key"] == "kubernetes.io/metadata.name" and expression["operator"] == "NotIn"
        for name in expression["values"]
    }
    assert kept_off == SYSTEM_NAMESPACES | {DEFAULT_NAMESPACE}
