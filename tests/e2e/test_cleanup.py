"""Uninstalling deletes all pull secrets, and Pods can be created at any time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, PROGRAM, REFRESHER

from .cluster import Cluster, Manifest, Ran, eventually
from .installation import cleanup, environment
from .pods import PULL_SECRET, pod
from .program import program
from .refresher import SECRET, Settings, Sidecar, published
from .service_account import acting, pull_secret

pytestmark = pytest.mark.usefixtures("discreet")

_WEBHOOK = f"mutatingwebhookconfiguration/{PROGRAM}"
_DEPLOYMENT = f"deployment/{PROGRAM}"


@pytest.fixture
def namespaces(cluster: Cluster) -> list[str]:
    """Make two namespaces that are opted in."""
    return [cluster.make_namespace({ENABLED_LABEL: "true"}) for _ in range(2)]


@pytest.fixture
def sidecar(make_sidecar: Callable[[Settings], Sidecar], namespaces: list[str]) -> Sidecar:
    """Make a sidecar for those, which asks no registry."""
    sidecar = make_sidecar({"webhook.namespaces.allow": namespaces})
    sidecar.set_password()
    return sidecar


def _names(cluster: Cluster, namespace: str) -> set[str]:
    return {secret["metadata"]["name"] for secret in cluster.items(namespace, "secrets")}


def test_cleanup_deletes_managed_secrets_of_any_name(cluster: Cluster, sidecar: Sidecar, namespaces: list[str]) -> None:
    first, second = namespaces
    assert sidecar.run("--once").status == 0
    applied = ("apply", "--server-side", f"--field-manager={REFRESHER}", "--filename=-", "--namespace", first)
    cluster.kubectl(*applied, stdin=pull_secret(name="an-earlier-name"))
    cluster.kubectl("label", "--namespace", second, SECRET, "app.kubernetes.io/managed-by-")
    cluster.create(second, pull_secret(name="somebody-s-own"))
    opaque = {"name": "labelled", "labels": {"app.kubernetes.io/managed-by": PROGRAM}}
    cluster.create(second, {"apiVersion": "v1", "kind": "Secret", "metadata": opaque})

    before = [_names(cluster, namespace) for namespace in namespaces]
    dry = cleanup("--dry-run")
    assert dry.status == 0, dry.stderr
    assert {
        f"Secret {first}/an-earlier-name: would be deleted",
        f"Secret {second}/{PULL_SECRET}: would be deleted",
    } <= {*dry.stdout.splitlines()}
    assert [_names(cluster, namespace) for namespace in namespaces] == before

    ran = cleanup()
    assert (ran.status, ran.stderr) == (0, "")
    assert f"Secret {first}/an-earlier-name: deleted" in ran.stdout.splitlines()
    assert ran.stdout.endswith(" pull secrets deleted, 0 left\n")
    assert _names(cluster, first) == set()
    assert _names(cluster, second) == {"somebody-s-own", "labelled"}
    assert cleanup().stdout == "0 pull secrets deleted, 0 left\n"


def test_cleanup_secret_with_finalizer_reported(cluster: Cluster, namespaces: list[str]) -> None:
    labels = {"app.kubernetes.io/managed-by": PROGRAM}
    cluster.create(namespaces[0], pull_secret(labels=labels, finalizers=["registry-webhook.example/held"]))
    try:
        ran = cleanup()
        assert ran.status == 1
        line = f"Secret {namespaces[0]}/{PULL_SECRET}: not deleted: waiting for its finalizers"
        assert line in ran.stdout.splitlines()
    finally:
        off = '{"metadata": {"finalizers": null}}'
        cluster.kubectl("patch", "--namespace", namespaces[0], SECRET, "--type=merge", f"--patch={off}")
    assert cleanup().status == 0


def test_cleanup_refresher_running_refused(cluster: Cluster, sidecar: Sidecar, namespaces: list[str]) -> None:
    with sidecar.running():
        sidecar.wait_until_leading()
        eventually("it has published", lambda: all(published(cluster, name) for name in namespaces))
        ran = cleanup()
        assert (ran.status, ran.stdout) == (2, "")
        error, hint = ran.stderr.splitlines()
        assert "is running and would create the pull secrets again" in error
        assert "--stop" in hint
        assert all(published(cluster, name) for name in namespaces)
    ran = cleanup()  # its Lease is given up
    assert ran.status == 0, ran.stderr
    assert not any(published(cluster, name) for name in namespaces)


def test_cleanup_permission_missing_named(account: Path) -> None:
    ran = cleanup(f"--kubeconfig={account}", "--dry-run")
    assert (ran.status, ran.stdout) == (2, "")
    told, line = [line for line in ran.stderr.splitlines() if not line.startswith("hint: ")]
    assert "no permission to list ValidatingAdmissionPolicyBindings" in told
    assert line.startswith("error: cannot list Secrets in all namespaces: ")
    assert 'cannot list resource "secrets" in API group "" at the cluster scope' in line
    ran = cleanup(f"--kubeconfig={account}", "--stop")
    assert ran.status == 2
    assert "no permission to list ValidatingAdmissionPolicyBindings" in ran.stderr
    assert acting(account).run("auth", "whoami").status == 0


@pytest.mark.kubernetes(33)
@pytest.mark.parametrize("option", ["--stop", None])
def test_cleanup_generated_guard_removed_pods_created(
    cluster: Cluster, namespaces: list[str], option: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("opencti: {daemon: {registry: {server: registry.example.com}}}")
    made = program("policy", "guard", f"--config={config}", "--output=json")
    assert made.status == 0, made.stderr
    guard, binding = json.loads(made.stdout)["items"]
    # As a kustomization of one's own names them.
    for one in (guard, binding):
        one["metadata"]["name"] = "acme-registry-webhook-guard"
    binding["spec"]["policyName"] = "acme-registry-webhook-guard"
    dry = ("create", "--dry-run=server", "--namespace", namespaces[0], "--filename=-")
    said = {f"{one['kind']} {one['metadata']['name']}" for one in (guard, binding)}
    try:
        for one in (guard, binding):
            cluster.kubectl("apply", "--server-side", "--filename=-", stdin=one)
        eventually("the guard refuses", lambda: cluster.run(*dry, stdin=pod("any", app="nginx")).status)
        told = cleanup("--dry-run", *([option] if option else []))
        assert told.status == 0, told.stderr
        assert {f"{one}: would be deleted" for one in said} <= {*told.stdout.splitlines()}
        assert cluster.run(*dry, stdin=pod("any", app="nginx")).status
        ran = cleanup(*([option] if option else []))
        assert ran.status == 0, ran.stderr
        # Bindings first: what they bind is in force no more.
        first, second = ran.stdout.splitlines()[:2]
        assert (first, second) == tuple(f"{one['kind']} {one['metadata']['name']}: deleted" for one in (binding, guard))
        cluster.kubectl(*dry, stdin=pod("any", app="nginx"))
    finally:
        for one in (binding, guard):
            cluster.kubectl("delete", one["kind"], one["metadata"]["name"], "--ignore-not-found")


def _fail_closed(namespaces: list[str]) -> Manifest:
    """Make a webhook configuration that refuses every Pod of the namespaces, for nobody serves it."""
    here = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
    webhook = {
        "name": "pods.registry-webhook.internal",
        "clientConfig": {"url": "https://127.0.0.1:1/mutate"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchExpressions": [here]},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration"}
    return {**kind, "metadata": {"name": PROGRAM}, "webhooks": [webhook]}


def _deployment() -> Manifest:
    """Make a Deployment by the name of ours, for Pods that no node runs."""
    labels = {"e2e": "cleanup"}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "nodeSelector": {"nowhere": "true"},
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "webhook", "image": "registry.example.com/none", "securityContext": security}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": PROGRAM}, "spec": spec}


@pytest.fixture
def installed(cluster: Cluster, account: Path, namespaces: list[str]) -> Iterator[None]:  # noqa: ARG001 - for our namespace
    """Have the Deployment, and the webhook in force fail-closed; what other tests have in force is put back."""
    kept = cluster.run("get", _WEBHOOK, "--output=json")
    if kept.status == 0:
        cluster.kubectl("delete", _WEBHOOK)
    cluster.create(DEFAULT_NAMESPACE, _deployment())
    cluster.kubectl("create", "--filename=-", stdin=_fail_closed(namespaces))
    eventually("Pods are refused", lambda: _pod(cluster, namespaces[0]).status != 0)
    try:
        yield
    finally:
        cluster.kubectl("delete", _WEBHOOK, "--ignore-not-found")
        cluster.kubectl("delete", _DEPLOYMENT, "--namespace", DEFAULT_NAMESPACE, "--ignore-not-found")
        if kept.status == 0:
            before = kept.manifest
            for field in ("resourceVersion", "uid", "managedFields", "creationTimestamp", "generation"):
                before["metadata"].pop(field, None)
            cluster.kubectl("create", "--filename=-", stdin=before)


def _pod(cluster: Cluster, namespace: str) -> Ran:
    arguments = ("run", "x", "--image=registry.example.com/none", "--dry-run=server", "--namespace", namespace)
    return cluster.run(*arguments)


def _replicas(cluster: Cluster) -> int:
    return int(cluster.get(DEFAULT_NAMESPACE, _DEPLOYMENT)["spec"]["replicas"])


@pytest.mark.usefixtures("installed")
def test_cleanup_stop_pods_can_always_be_created(cluster: Cluster, sidecar: Sidecar, namespaces: list[str]) -> None:
    dry = cleanup("--stop", "--dry-run")
    assert dry.stdout.splitlines()[:2] == [
        f"MutatingWebhookConfiguration {PROGRAM}: would be deleted",
        f"Deployment {DEFAULT_NAMESPACE}/{PROGRAM}: would be scaled to 0",
    ]
    assert (_replicas(cluster), cluster.exists("default", _WEBHOOK)) == (2, True)

    with sidecar.running():
        sidecar.wait_until_leading()
        eventually("it has published", lambda: all(published(cluster, name) for name in namespaces))
        words = [sys.executable, "-m", "webhook", "cleanup", "--stop"]
        kubeconfig = {"KUBECONFIG": os.environ["KUBECONFIG"]}
        stopping = subprocess.Popen(words, env=environment() | kubeconfig, stdout=subprocess.PIPE, text=True)
        try:
            eventually("the Deployment runs nothing", lambda: _replicas(cluster) == 0)
            assert not cluster.exists("default", _WEBHOOK)
            eventually("Pods can be made", lambda: _pod(cluster, namespaces[0]).status == 0)
            assert all(published(cluster, name) for name in namespaces)
            sidecar.stop()  # as its Pod would, were it one
            said, _ = stopping.communicate(timeout=60)
        finally:
            stopping.kill()
            stopping.wait()
    assert stopping.returncode == 0, said
    lines = said.splitlines()
    assert lines[:2] == [
        f"MutatingWebhookConfiguration {PROGRAM}: deleted",
        f"Deployment {DEFAULT_NAMESPACE}/{PROGRAM}: scaled to 0",
    ]
    assert {f"Secret {namespace}/{PULL_SECRET}: deleted" for namespace in namespaces} <= {*lines}
    assert lines[-1] == "kubectl delete --ignore-not-found -k certs/self-managed"
    assert not any(published(cluster, name) for name in namespaces)
