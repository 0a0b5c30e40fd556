"""Creation of Pods in selected and other namespaces."""

import json
import os
from pathlib import Path

import pytest
import yaml

from .cluster import Cluster, Manifest, eventually
from .installation import Installation
from .pods import IMAGE, NOWHERE, PULL_SECRET, REWRITTEN, SERVER, images, originals, pod, pull_secrets, spec

_RUN = ("run", f"--image={IMAGE}", "--overrides", json.dumps({"apiVersion": "v1", "spec": {"nodeSelector": NOWHERE}}))
_WEBHOOK = "pods.registry-webhook.internal"


def test_dry_run_shows_rewrite_stores_nothing(cluster: Cluster, served: str) -> None:
    ran = cluster.kubectl("run", "dry", f"--image={IMAGE}", "--namespace", served, "--dry-run=server", "--output=yaml")
    shown = yaml.safe_load(ran.stdout)
    assert images(shown) == {"dry": REWRITTEN}
    assert pull_secrets(shown) == [PULL_SECRET]
    image, secret = ran.warnings
    assert image.startswith(f"Warning: container dry: {IMAGE} -> {REWRITTEN} ")
    assert secret == f"Warning: added imagePullSecret {PULL_SECRET}"
    assert not cluster.exists(served, "pod/dry")


def test_pod_stored_matches_annotation(cluster: Cluster, served: str) -> None:
    ran = cluster.kubectl(*_RUN, "stored", "--namespace", served)
    assert not ran.warnings
    stored = cluster.get(served, "pod/stored")
    assert images(stored) == {"stored": REWRITTEN}
    assert pull_secrets(stored) == [PULL_SECRET]
    assert originals(stored) == {"stored": IMAGE}


def test_audit_log_matches_stored_pod(cluster: Cluster, served: str) -> None:
    name = os.environ.get("E2E_AUDIT_LOG")
    if not name:
        pytest.skip("E2E_AUDIT_LOG does not name the API server's audit log")
    log = Path(name)
    start = log.stat().st_size
    cluster.kubectl(*_RUN, "audited", "--namespace", served)
    stored = cluster.get(served, "pod/audited")
    event = eventually("the audit log has the Pod", lambda: _creation(log, start, stored))
    annotations = event["annotations"]
    assert annotations[f"{_WEBHOOK}/outcome"].partition(":")[0] == "rewritten"
    assert originals(stored) == {"audited": IMAGE}
    after = images(stored)["audited"]
    assert annotations[f"{_WEBHOOK}/images"].startswith(f"container audited: {IMAGE} -> {after} ")
    assert [annotations[f"{_WEBHOOK}/pull-secret"]] == [f"added {secret}" for secret in pull_secrets(stored)]


def _creation(log: Path, start: int, stored: Manifest) -> Manifest | None:
    """Find the event of the Pod's making in what has been written to the log since `start`."""
    wanted = (stored["metadata"]["namespace"], stored["metadata"]["name"])
    with log.open("rb") as lines:
        lines.seek(start)
        # The last line may still be in the writing.
        events: list[Manifest] = [json.loads(line) for line in lines if line.endswith(b"\n")]
    for event in events:
        about = event.get("objectRef", {})
        if event["verb"] == "create" and (about.get("namespace"), about.get("name")) == wanted:
            return event
    return None


def test_container_kinds_all_rewritten(cluster: Cluster, served: str) -> None:
    manifest = pod("kinds", app="nginx", sidecar="ghcr.io/acme/proxy:2", pinned="busybox:1@sha256:" + "a" * 64)
    manifest["spec"]["initContainers"] = [{"name": "init", "image": "library/alpine"}]
    stored = cluster.create(served, manifest)
    assert images(stored) == {
        "app": f"{SERVER}/nginx",
        "sidecar": "ghcr.io/acme/proxy:2",
        "pinned": f"{SERVER}/busybox:1@sha256:" + "a" * 64,
    }
    assert images(stored, "initContainers") == {"init": f"{SERVER}/library/alpine"}


def test_pull_secret_appended_after_existing(cluster: Cluster, served: str) -> None:
    manifest = pod("secrets", app=IMAGE)
    manifest["spec"]["imagePullSecrets"] = [{"name": "my-own"}]
    assert pull_secrets(cluster.create(served, manifest)) == ["my-own", PULL_SECRET]


def test_image_volume_rewritten(cluster: Cluster, served: str, unserved: str) -> None:
    manifest = pod("volume", app=IMAGE)
    manifest["spec"]["volumes"] = [{"name": "model", "image": {"reference": "acme/model:3"}}]
    arguments = ("create", "--namespace", unserved, "--dry-run=server", "--filename=-")
    if cluster.run(*arguments, stdin=manifest).status:
        pytest.skip("this cluster has no image volumes")
    stored = cluster.create(served, manifest)
    (volume,) = [volume for volume in stored["spec"]["volumes"] if volume["name"] == "model"]
    assert volume["image"]["reference"] == f"{SERVER}/acme/model:3"
    assert originals(stored) == {"app": IMAGE, "model": "acme/model:3"}


def test_unlabelled_namespace_untouched(cluster: Cluster, unserved: str) -> None:
    ran = cluster.kubectl(*_RUN, "plain", "--namespace", unserved)
    assert not ran.warnings
    stored = cluster.get(unserved, "pod/plain")
    assert images(stored) == {"plain": IMAGE}
    assert pull_secrets(stored) == []
    assert originals(stored) is None


def test_pod_opted_out_untouched(cluster: Cluster, served: str) -> None:
    manifest = pod("out", app=IMAGE)
    manifest["metadata"]["labels"] = {"registry-webhook/enabled": "false"}
    stored = cluster.create(served, manifest)
    assert images(stored) == {"app": IMAGE}
    assert pull_secrets(stored) == []
    assert originals(stored) is None


def test_deployment_rolls_out_once(installation: Installation) -> None:
    cluster, namespace = installation.cluster, installation.namespace(labelled=True)
    manifest = _deployment("app", replicas=2)
    _apply(cluster, namespace, manifest)
    before = _rolled_out(cluster, namespace, 2)
    assert all(images(made) == {"app": REWRITTEN} for made in before.values())

    again = _apply(cluster, namespace, manifest)
    assert again == "deployment.apps/app unchanged"
    # A controller that had found the Pods wrong would have replaced them by the time it has acted on this.
    cluster.kubectl("scale", "deployment/app", "--replicas=3", "--namespace", namespace)
    after = _rolled_out(cluster, namespace, 3)
    assert set(before) < set(after)
    (replica_set,) = cluster.items(namespace, "replicasets")
    deployment = cluster.get(namespace, "deployment/app")
    assert deployment["metadata"]["generation"] == 2
    for template in (deployment["spec"]["template"], replica_set["spec"]["template"]):
        assert images(template) == {"app": IMAGE}
        assert pull_secrets(template) == []


def _deployment(name: str, replicas: int) -> Manifest:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec(app=IMAGE)}
    content = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": content}


def _apply(cluster: Cluster, namespace: str, manifest: Manifest) -> str:
    return cluster.kubectl("apply", "--namespace", namespace, "--filename=-", stdin=manifest).stdout.strip()


def _rolled_out(cluster: Cluster, namespace: str, replicas: int) -> dict[str, Manifest]:
    """Wait until the Deployment has all its Pods, and give them by uid."""

    def settled() -> bool:
        deployment = cluster.get(namespace, "deployment/app")
        status = deployment.get("status", {})
        counts = (status.get("replicas"), status.get("updatedReplicas"))
        seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return seen and counts == (replicas, replicas)

    eventually(f"the Deployment has its {replicas} Pods", settled)
    found = {made["metadata"]["uid"]: made for made in cluster.items(namespace, "pods")}
    assert len(found) == replicas
    return found


@pytest.mark.parametrize("side", ["client", "server"])
def test_pod_applied_again_unchanged(cluster: Cluster, served: str, side: str) -> None:
    manifest = pod(f"applied-by-{side}", app=IMAGE)
    manifest["spec"]["imagePullSecrets"] = [{"name": "my-own"}]
    how = f"--server-side={str(side == 'server').lower()}"
    arguments = ("apply", how, "--namespace", served, "--filename=-", "--output=json")
    first = cluster.kubectl(*arguments, stdin=manifest).manifest
    second = cluster.kubectl(*arguments, stdin=manifest).manifest
    assert images(first) == {"app": REWRITTEN}
    assert second["spec"] == first["spec"]
    assert pull_secrets(second) == ["my-own", PULL_SECRET]
    assert originals(second) == {"app": IMAGE}
    assert second["metadata"]["uid"] == first["metadata"]["uid"]
    # The generation counts changes of the spec: without one nothing restarts.
    assert second["metadata"].get("generation") == first["metadata"].get("generation")
