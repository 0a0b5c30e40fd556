"""An installation with another namespace and other names works, and the commands find it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import node
from tests.e2e.cluster import Cluster, Manifest, eventually
from tests.e2e.installation import cleanup
from tests.e2e.program import program
from tests.e2e.refresher import published, selected_namespace
from tests.e2e.registry import Registry
from tests.e2e.service_account import acting, pull_secret, write_kubeconfig
from webhook.constants import CERTIFICATE, ENABLED_LABEL, PROGRAM, REFRESHER

from .installation import LEAVING, ROLLOUT, Installation, Variant

_NAMESPACE = "registry-webhook-e2e-elsewhere"
_NAME = f"acme-{PROGRAM}"
_CONFIGURATION = f"mutatingwebhookconfiguration/{_NAME}"


@pytest.fixture(scope="module")
def elsewhere(
    image: str, registry: Registry, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Apply an installation over which a kustomization of one's own has another namespace and a prefix."""
    cluster.expect_no_namespace(_NAMESPACE)
    credential = registry.admit_new(_NAME)
    folder = tmp_path_factory.mktemp("elsewhere")
    shipped = Installation(cluster, tmp_path_factory.mktemp("shipped"), image, credential)
    shipped.write(Variant())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": _NAMESPACE,
        "namePrefix": "acme-",
        "sortOptions": {"order": "fifo"},
        "resources": [os.path.relpath(shipped.folder.resolve(), folder.resolve())],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    words = ("--kustomize", str(folder))
    try:
        cluster.kubectl("apply", *words)
        status = ("rollout", "status", f"deployment/{_NAME}", "--namespace", _NAMESPACE, "--timeout=15s")
        eventually("the rollout is over", lambda: cluster.run(*status).status == 0, ROLLOUT)
        yield cluster
    finally:
        cluster.run("delete", _CONFIGURATION, "--ignore-not-found")
        cluster.run("delete", "deployment", _NAME, "--namespace", _NAMESPACE, "--ignore-not-found")
        pods = ("--all", "--force", "--grace-period=0", "--ignore-not-found")
        cluster.run("delete", "pods", "--namespace", _NAMESPACE, *pods)
        cluster.run("delete", "--ignore-not-found", "--wait=false", *words)
        eventually("it is gone", lambda: not cluster.exists("default", f"namespace/{_NAMESPACE}"), LEAVING)
        cleanup()


@pytest.fixture(scope="module")
def labelled(elsewhere: Cluster) -> Iterator[str]:
    """Make a namespace that is opted in, and wait for its pull secret."""
    name = selected_namespace(elsewhere)
    yield name
    elsewhere.run("delete", "namespace", name, "--wait=false")


def test_installation_elsewhere_has_certificate_and_owner(elsewhere: Cluster) -> None:
    assert elsewhere.exists(_NAMESPACE, f"secret/{CERTIFICATE}")
    namespace = elsewhere.get("default", f"namespace/{_NAMESPACE}")["metadata"]

    def owned() -> list[Manifest]:
        found: list[Manifest] = elsewhere.get("default", _CONFIGURATION)["metadata"].get("ownerReferences", [])
        return found

    owner = {"apiVersion": "v1", "kind": "Namespace", "name": _NAMESPACE, "uid": namespace["uid"]}
    assert eventually("it has an owner", owned) == [owner]


def test_installation_elsewhere_pod_runs(elsewhere: Cluster, labelled: str) -> None:
    node.runs(elsewhere, labelled, node.written("app", secret=False))


def test_installation_elsewhere_own_namespace_excluded(elsewhere: Cluster) -> None:
    elsewhere.kubectl("label", "namespace", _NAMESPACE, f"{ENABLED_LABEL}=true")
    try:
        # It comes after: who is served is looked at in the order in which it is made known.
        after = selected_namespace(elsewhere)
        assert published(elsewhere, _NAMESPACE) is None
        elsewhere.run("delete", "namespace", after, "--wait=false")
    finally:
        elsewhere.kubectl("label", "namespace", _NAMESPACE, f"{ENABLED_LABEL}-")


def test_commands_installation_elsewhere_found(labelled: str) -> None:
    def settled() -> Manifest | None:
        ran = program("doctor", "--output=json")
        findings = json.loads(ran.stdout)["findings"]
        return {"findings": findings} if ran.status == 0 else None

    findings = eventually("doctor finds nothing that fails", settled, 60.0)["findings"]
    assert any(f"ConfigMap {_NAMESPACE}/{_NAME}" in finding["message"] for finding in findings)
    told = program("doctor", "--output=json", f"--installation-namespace={_NAMESPACE}")
    assert told.status == 0, told.stdout
    reported = program("report", "--namespace", labelled, "--output=json")
    assert reported.status == 0, reported.stderr
    stop = cleanup("--stop", "--dry-run")
    assert f"MutatingWebhookConfiguration {_NAME}: would be deleted" in stop.stdout
    assert f"Deployment {_NAMESPACE}/{_NAME}: would be scaled to 0" in stop.stdout


def test_account_elsewhere_limited_by_guard(elsewhere: Cluster, labelled: str, tmp_path: Path) -> None:
    account = acting(write_kubeconfig(elsewhere, _NAMESPACE, _NAME, tmp_path / "kubeconfig"))
    secret = pull_secret(annotations={"kubernetes.io/service-account.name": "generic-garbage-collector"})
    secret |= {"type": "kubernetes.io/service-account-token", "data": {}}
    for namespace in ("kube-system", labelled):
        arguments = ("apply", "--server-side", f"--field-manager={REFRESHER}", "--force-conflicts", "--filename=-")
        ran = account.run(*arguments, "--namespace", namespace, stdin=secret)
        assert f"ValidatingAdmissionPolicy 'acme-{PROGRAM}-secrets'" in ran.stderr or "type: Invalid" in ran.stderr
        assert ran.status
    assert not elsewhere.exists("kube-system", "secret/registry-webhook-pull")
