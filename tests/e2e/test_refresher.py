"""The refresher creates and maintains the pull secret in every selected namespace."""

import base64
import json
import re
import time
from collections.abc import Callable

import pytest

from webhook.constants import (
    DEFAULT_NAMESPACE,
    DESELECTED_ANNOTATION,
    ENABLED_LABEL,
    INSTALLATION_LABEL,
    MANAGED_BY_LABEL,
    PROGRAM,
)

from .audit import AuditLog
from .cluster import Cluster, Manifest, eventually
from .installation import RUN_LABEL, Installation
from .node import NOT_PULLED, remove, runs, state, written
from .pods import IMAGE, PULL_SECRET, REWRITTEN, images, pull_secrets
from .refresher import SECRET, Sidecar, has_password, is_told, password_in, published, version
from .service_account import pull_secret

pytestmark = pytest.mark.usefixtures("discreet")

#: Its Pods are pulled from the registry.
_pulling = pytest.mark.usefixtures("registry")

_Figure = Callable[[str, float], None]
_ON = {ENABLED_LABEL: "true"}
_LABELS = {MANAGED_BY_LABEL: PROGRAM, INSTALLATION_LABEL: DEFAULT_NAMESPACE}
_FINALIZER = "registry-webhook-e2e/kept"
_FOREIGN = "namespaces_foreign_secret"

#: What is said to be within a second takes as long as kubectl needs to ask, on a machine that is busy.
_AT_ONCE = 3.0


def _label(cluster: Cluster, namespace: str, value: str) -> None:
    cluster.kubectl("label", "namespace", namespace, f"{ENABLED_LABEL}{value}", "--overwrite")


def _served(cluster: Cluster, sidecar: Sidecar) -> str:
    """Make a namespace that is opted in and has the pull secret."""
    namespace = cluster.start_namespace(_ON)
    has_password(cluster, namespace, sidecar.password)
    return namespace


def _patched(cluster: Cluster, namespace: str, what: str, patch: object) -> None:
    cluster.kubectl("patch", what, "--namespace", namespace, "--type=merge", f"--patch={json.dumps(patch)}")


# From nothing.


@_pulling
def test_pod_after_label_runs(installation: Installation, sidecar: Sidecar, figure: _Figure) -> None:
    assert sidecar.is_running()
    cluster, namespace = installation.cluster, installation.namespace(labelled=False)
    began = time.monotonic()
    _label(cluster, namespace, "=true")
    cluster.kubectl("run", "c", f"--image={IMAGE}", "--namespace", namespace)
    eventually("the Pod runs", lambda: state(cluster, namespace, "c") == "running", deadline=60)
    figure("label to a Pod that runs", time.monotonic() - began)
    stored = cluster.get(namespace, "pod/c")
    assert images(stored) == {"c": REWRITTEN}
    assert pull_secrets(stored) == [PULL_SECRET]
    remove(cluster, namespace, "c")


@_pulling
def test_pod_unlabelled_namespace_not_pulled(installation: Installation) -> None:
    cluster, namespace = installation.cluster, installation.namespace(labelled=False)
    cluster.kubectl("run", "c", f"--image={IMAGE}", "--namespace", namespace)
    eventually("the image cannot be pulled", lambda: state(cluster, namespace, "c") in NOT_PULLED, deadline=60)
    assert published(cluster, namespace) is None
    remove(cluster, namespace, "c")


@_pulling
def test_pod_created_with_namespace_runs(installation: Installation, sidecar: Sidecar) -> None:
    assert sidecar.is_running()
    cluster = installation.cluster
    namespace = cluster.start_namespace({**_ON, RUN_LABEL: installation.run})
    manifest = written("twin", secret=False)
    arguments = ("create", "--namespace", namespace, "--filename=-")
    # Before it has its service account, a namespace takes no Pod.
    eventually("the Pod is taken", lambda: cluster.run(*arguments, stdin=manifest).status == 0)
    eventually("the Pod runs", lambda: state(cluster, namespace, "twin") == "running", deadline=60)
    assert images(cluster.get(namespace, "pod/twin")) == {"app": REWRITTEN}
    remove(cluster, namespace, "twin")


def test_label_added_secret_created_at_once(cluster: Cluster, sidecar: Sidecar, figure: _Figure) -> None:
    namespace = cluster.start_namespace({})
    _label(cluster, namespace, "=true")
    took = has_password(cluster, namespace, sidecar.password, _AT_ONCE)
    figure("label to pull secret, with kubectl's own time", took)
    secret = cluster.get(namespace, SECRET)
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert secret["metadata"]["labels"] == _LABELS
    assert set(secret["metadata"]["annotations"]) == {f"{PROGRAM}/refreshed-at"}


# And kept.


def test_refresh_nothing_changed_writes_nothing(cluster: Cluster, sidecar: Sidecar, audit: AuditLog | None) -> None:
    namespaces = [_served(cluster, sidecar) for _ in range(2)]
    before = [version(cluster, namespace) for namespace in namespaces]
    start = audit.end() if audit else 0
    writes, reads = sidecar.writes(), sidecar.metric("api_requests_total:GET:200")

    def everything_listed() -> bool:
        sidecar.pass_again()
        return sidecar.metric("api_requests_total:GET:200") >= reads + 2

    # Some passes list everything anew, and some do not.
    eventually("a pass lists everything", everything_listed)
    sidecar.pass_again()
    assert [version(cluster, namespace) for namespace in namespaces] == before
    assert sidecar.writes() == writes
    assert audit is None or audit.secrets_written(start) == []


def test_secret_edited_or_deleted_restored_at_once(cluster: Cluster, sidecar: Sidecar, figure: _Figure) -> None:
    namespace = _served(cluster, sidecar)
    uid, _ = version(cluster, namespace)
    auths = {"auths": {"registry.example.com": {"auth": base64.b64encode(b"somebody:else").decode()}}}
    content = base64.b64encode(json.dumps(auths).encode()).decode()

    _patched(cluster, namespace, SECRET, {"data": {".dockerconfigjson": content}})
    figure("edited to repaired, with kubectl's own time", _repaired(cluster, namespace, sidecar))
    _patched(cluster, namespace, SECRET, {"metadata": {"labels": None, "annotations": None}})
    _repaired(cluster, namespace, sidecar)
    assert version(cluster, namespace)[0] == uid

    cluster.kubectl("delete", SECRET, "--namespace", namespace)
    figure("deleted to repaired, with kubectl's own time", _repaired(cluster, namespace, sidecar))
    assert version(cluster, namespace)[0] != uid


def _repaired(cluster: Cluster, namespace: str, sidecar: Sidecar) -> float:
    began = time.monotonic()

    def good() -> bool:
        secret = published(cluster, namespace)
        if secret is None or secret["metadata"].get("labels") != _LABELS:
            return False
        assert set(secret["metadata"]["annotations"]) == {f"{PROGRAM}/refreshed-at"}
        return _content(secret) == {"registry.example.com": (sidecar.username, sidecar.password)}

    eventually("the pull secret is back", good, _AT_ONCE)
    return time.monotonic() - began


def _content(secret: Manifest) -> dict[str, tuple[str | None, str | None]]:
    content = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
    return {key: (entry.get("username"), entry.get("password")) for key, entry in content["auths"].items()}


def test_secret_deleted_repeatedly_backs_off_reported(cluster: Cluster, sidecar: Sidecar, figure: _Figure) -> None:
    namespace = _served(cluster, sidecar)
    delete = ("delete", SECRET, "--namespace", namespace)
    for _ in range(3):
        cluster.kubectl(*delete)
        has_password(cluster, namespace, sidecar.password, _AT_ONCE)
    cluster.kubectl(*delete)
    began = time.monotonic()
    is_told(cluster, namespace, "PullSecretContended")
    assert sidecar.metric("namespaces_contended") == 1
    has_password(cluster, namespace, sidecar.password)
    assert time.monotonic() - began > 2 * _AT_ONCE
    figure("fourth repair within a minute", time.monotonic() - began)


def test_foreign_secret_untouched_reported(cluster: Cluster, sidecar: Sidecar) -> None:
    namespaces = [cluster.start_namespace({}) for _ in range(2)]
    for namespace, kind in zip(namespaces, ("kubernetes.io/dockerconfigjson", "Opaque"), strict=True):
        secret = {"metadata": {"name": PULL_SECRET}, "type": kind, "data": {".dockerconfigjson": "e30="}}
        cluster.create(namespace, {"apiVersion": "v1", "kind": "Secret", **secret})
    before, known = [version(cluster, namespace) for namespace in namespaces], sidecar.metric(_FOREIGN)
    for namespace in namespaces:
        _label(cluster, namespace, "=true")
        assert is_told(cluster, namespace, "ForeignSecret")["type"] == "Warning"
        # Where somebody looks who wonders what is wrong with a namespace.
        shown = cluster.kubectl("get", "events", "--namespace", namespace).stdout
        assert re.search(
            rf"Warning +ForeignSecret +secret/{PULL_SECRET} +Secret {PULL_SECRET} exists but is not managed by", shown
        )
        assert f"foreign-secret namespace={namespace}" in sidecar.ask("/readyz")[1]
    assert sidecar.metric(_FOREIGN) == known + 2
    sidecar.pass_again(2)
    assert [version(cluster, namespace) for namespace in namespaces] == before
    # When its owner takes it away, the place is free.
    for namespace in namespaces:
        cluster.kubectl("delete", SECRET, "--namespace", namespace)
        has_password(cluster, namespace, sidecar.password, _AT_ONCE)
    assert sidecar.metric(_FOREIGN) == known


# One namespace holds up no other.


def test_terminating_namespace_skipped_others_served(cluster: Cluster, sidecar: Sidecar) -> None:
    namespace, other = _served(cluster, sidecar), cluster.start_namespace({})
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "finalizers": [_FINALIZER]}}
    cluster.create(namespace, kept)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    try:
        cluster.kubectl("delete", SECRET, "--namespace", namespace, "--ignore-not-found")
        _label(cluster, other, "=true")
        has_password(cluster, other, sidecar.password, _AT_ONCE)
        sidecar.pass_again()
        assert cluster.get("default", f"namespace/{namespace}")["status"]["phase"] == "Terminating"
        assert not cluster.exists(namespace, SECRET)
        assert namespace not in sidecar.ask("/readyz")[1]
    finally:
        _patched(cluster, namespace, "configmap/kept", {"metadata": {"finalizers": None}})


def test_quota_exceeded_others_served_then_created(cluster: Cluster, sidecar: Sidecar) -> None:
    full, other = cluster.start_namespace({}), cluster.start_namespace({})
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"secrets": "0"}}}
    cluster.create(full, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    eventually("the quota is in force", lambda: cluster.get(full, "quota/none").get("status", {}).get("used"))
    for namespace in (full, other):
        _label(cluster, namespace, "=true")
    has_password(cluster, other, sidecar.password, _AT_ONCE)
    assert "exceeded quota" in is_told(cluster, full, "PullSecretFailed")["note"]
    shown = cluster.kubectl("get", "events", "--namespace", full).stdout
    assert re.search(rf"Warning +PullSecretFailed +secret/{PULL_SECRET} ", shown)
    assert sidecar.metric("namespaces_failing") == 1
    assert published(cluster, full) is None
    cluster.kubectl("delete", "quota", "none", "--namespace", full)
    has_password(cluster, full, sidecar.password)
    eventually("nothing fails", lambda: sidecar.metric("namespaces_failing") == 0)


# The label goes.


def test_label_removed_and_restored_secret_current(
    cluster: Cluster, sidecar: Sidecar, change_password: Callable[[], str]
) -> None:
    namespace = _served(cluster, sidecar)
    uid, _ = version(cluster, namespace)
    _label(cluster, namespace, "-")
    assert is_told(cluster, namespace, "PullSecretRemovalScheduled")["type"] == "Normal"
    assert DESELECTED_ANNOTATION in cluster.get(namespace, SECRET)["metadata"]["annotations"]
    has_password(cluster, namespace, change_password())
    _label(cluster, namespace, "=true")
    eventually(
        "the namespace is served again",
        lambda: DESELECTED_ANNOTATION not in cluster.get(namespace, SECRET)["metadata"]["annotations"],
        _AT_ONCE,
    )
    assert version(cluster, namespace)[0] == uid
    assert password_in(published(cluster, namespace)) == sidecar.password


@_pulling
def test_label_removed_pod_with_secret_still_runs(cluster: Cluster, sidecar: Sidecar) -> None:
    namespace = cluster.make_namespace(_ON)
    has_password(cluster, namespace, sidecar.password)
    _label(cluster, namespace, "-")
    is_told(cluster, namespace, "PullSecretRemovalScheduled")
    runs(cluster, namespace, written("restarted", secret=True))


def test_linger_over_secret_deleted(cluster: Cluster, sidecar: Sidecar) -> None:
    namespace = _served(cluster, sidecar)
    uid, _ = version(cluster, namespace)
    sidecar.configure(webhook__pull_secret__linger=2)
    try:
        has_password(cluster, namespace, sidecar.password)
        _label(cluster, namespace, "-")
        is_told(cluster, namespace, "PullSecretRemovalScheduled")
        eventually("the Secret is gone", lambda: not cluster.exists(namespace, SECRET))
        is_told(cluster, namespace, "PullSecretRemoved")
        _label(cluster, namespace, "=true")
        has_password(cluster, namespace, sidecar.password, _AT_ONCE)
        assert version(cluster, namespace)[0] != uid
    finally:
        sidecar.configure(webhook__pull_secret__linger=86_400)


def test_tenant_secret_unselected_namespace_not_filled(
    cluster: Cluster, sidecar: Sidecar, change_password: Callable[[], str]
) -> None:
    namespace = cluster.start_namespace({})
    forged = pull_secret(labels={MANAGED_BY_LABEL: PROGRAM}, annotations={f"{PROGRAM}/refreshed-at": ""})
    cluster.create(namespace, forged)
    is_told(cluster, namespace, "PullSecretRemovalScheduled")
    change_password()
    has_password(cluster, _served(cluster, sidecar), sidecar.password)
    assert cluster.get(namespace, SECRET)["data"] == forged["data"]
    # It is for a namespace that is served.
    _label(cluster, namespace, "=true")
    has_password(cluster, namespace, sidecar.password)


def test_namespace_denied_secret_deleted_at_once(cluster: Cluster, sidecar: Sidecar) -> None:
    denied, other = _served(cluster, sidecar), _served(cluster, sidecar)
    before = version(cluster, other)
    sidecar.configure(webhook__namespaces__deny=[denied])
    try:
        eventually("the Secret is gone", lambda: not cluster.exists(denied, SECRET), deadline=10)
        assert version(cluster, other) == before
    finally:
        sidecar.configure(webhook__namespaces__deny=[])
    has_password(cluster, denied, sidecar.password)
