"""The server is down, and failurePolicy is Fail.

Each test depends on one of the match conditions.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.monitoring_queries import APISERVER

from .cluster import Cluster, Manifest, eventually
from .installation import installed
from .pods import IMAGE, REWRITTEN, images, pod, spec

_FINALIZER = "registry-webhook-e2e/kept"
_SERIES = re.compile(r"([a-z_]+)\{(.*)\} \S+")
_LABEL = re.compile(r'([a-z_]+)="')
_WEBHOOK = "pods.registry-webhook.internal"


@pytest.fixture(scope="module")
def abandoned(cluster: Cluster, address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Make a namespace with Pods and a Job, and then stop the server."""
    with installed(cluster, address, tmp_path_factory.mktemp("server"), failurePolicy="Fail") as installation:
        namespace = installation.namespace(labelled=True)
        for name in ("labelled", "deleted", "evicted", "updated"):
            cluster.create(namespace, pod(name, app=IMAGE))
        kept = pod("kept", app=IMAGE)
        kept["metadata"]["finalizers"] = [_FINALIZER]
        cluster.create(namespace, kept)
        cluster.create(namespace, _job("work"))
        eventually("the Job has its Pod", lambda: _pods_of(cluster, namespace, "work"))
        installation.server.stop()
        try:
            yield namespace
        finally:
            _release(cluster, namespace, "kept")


def _job(name: str) -> Manifest:
    template = {"spec": {**spec(app=IMAGE), "restartPolicy": "Never"}}
    content = {"backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": content}


def _pods_of(cluster: Cluster, namespace: str, job: str) -> list[Manifest]:
    return cluster.items(namespace, "pods", f"batch.kubernetes.io/job-name={job}")


def _release(cluster: Cluster, namespace: str, name: str) -> None:
    patch = '{"metadata": {"finalizers": null}}'
    if cluster.exists(namespace, f"pod/{name}"):
        cluster.kubectl("patch", "pod", name, "--namespace", namespace, "--type=merge", f"--patch={patch}")


def test_outage_pod_create_refused(cluster: Cluster, abandoned: str) -> None:
    arguments = ("create", "--namespace", abandoned, "--filename=-")
    ran = cluster.run(*arguments, stdin=pod("new", app=IMAGE))
    assert ran.status
    assert "failed calling webhook" in ran.stderr


def test_outage_image_update_refused(cluster: Cluster, abandoned: str) -> None:
    ran = cluster.run("set", "image", "pod/updated", "app=nginx", "--namespace", abandoned)
    assert ran.status
    assert "failed calling webhook" in ran.stderr


def test_outage_ephemeral_container_refused(cluster: Cluster, abandoned: str) -> None:
    arguments = ("--image=busybox", "--profile=general", "--attach=false")
    ran = cluster.run("debug", "pod/updated", *arguments, "--namespace", abandoned)
    assert ran.status
    assert "failed calling webhook" in ran.stderr


def test_outage_pod_labels_and_annotations_updated(cluster: Cluster, abandoned: str) -> None:
    cluster.kubectl("label", "pod", "labelled", "team=search", "--namespace", abandoned)
    cluster.kubectl("annotate", "pod", "labelled", "note=kept", "--namespace", abandoned)
    stored = cluster.get(abandoned, "pod/labelled")
    assert stored["metadata"]["labels"]["team"] == "search"
    assert images(stored) == {"app": REWRITTEN}


def test_outage_pod_deleted(cluster: Cluster, abandoned: str) -> None:
    cluster.kubectl("delete", "pod", "deleted", "--namespace", abandoned, "--timeout=20s")
    assert not cluster.exists(abandoned, "pod/deleted")


def test_outage_pod_evicted(cluster: Cluster, abandoned: str) -> None:
    metadata = {"name": "evicted", "namespace": abandoned}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    path = f"/api/v1/namespaces/{abandoned}/pods/evicted/eviction"
    cluster.kubectl("create", f"--raw={path}", "--filename=-", stdin=eviction)
    eventually("the Pod is gone", lambda: not cluster.exists(abandoned, "pod/evicted"))


def test_outage_terminating_pod_updated_and_removed(cluster: Cluster, abandoned: str) -> None:
    cluster.kubectl("delete", "pod", "kept", "--namespace", abandoned, "--wait=false")
    cluster.kubectl("set", "image", "pod/kept", "app=nginx", "--namespace", abandoned)
    assert images(cluster.get(abandoned, "pod/kept")) == {"app": "nginx"}
    _release(cluster, abandoned, "kept")
    eventually("the Pod is gone", lambda: not cluster.exists(abandoned, "pod/kept"))


def test_outage_mirror_pod_created(cluster: Cluster, abandoned: str) -> None:
    mirror = pod("mirror", app=IMAGE)
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": ""}
    mirror["spec"]["nodeName"] = "no-such-node"
    arguments = ("create", "--namespace", abandoned, "--dry-run=server", "--filename=-", "--output=json")
    assert images(cluster.kubectl(*arguments, stdin=mirror).manifest) == {"app": IMAGE}


def test_outage_job_completes(cluster: Cluster, abandoned: str) -> None:
    (made,) = _pods_of(cluster, abandoned, "work")
    assert made["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    name = made["metadata"]["name"]
    patch = '{"status": {"phase": "Succeeded"}}'
    arguments = ("--namespace", abandoned, "--subresource=status", "--type=merge", f"--patch={patch}")
    cluster.kubectl("patch", "pod", name, *arguments)
    cluster.kubectl("wait", "--for=condition=Complete", "--timeout=30s", "job/work", "--namespace", abandoned)
    finished = cluster.get(abandoned, f"pod/{name}")
    assert "finalizers" not in finished["metadata"]
    assert images(finished) == {"app": REWRITTEN}


def test_outage_api_server_metrics_match_alert_queries(
    cluster: Cluster, address: str, abandoned: str, tmp_path: Path
) -> None:
    def says() -> dict[str, set[str]]:
        """Give the labels of what the API server says of our webhook, by series."""
        lines = cluster.kubectl("get", "--raw=/metrics").stdout.splitlines()
        found = (_SERIES.fullmatch(line) for line in lines if f'name="{_WEBHOOK}"' in line)
        return {one[1]: set(_LABEL.findall(one[2])) for one in found if one}

    arguments = ("create", "--dry-run=server", "--filename=-", "--namespace")
    assert cluster.run(*arguments, abandoned, stdin=pod("refused", app=IMAGE)).status
    with installed(cluster, address, tmp_path) as open_one:
        namespace = open_one.namespace(labelled=True)
        open_one.server.stop()
        assert not cluster.run(*arguments, namespace, stdin=pod("let-through", app=IMAGE)).status
    eventually("it says all of it", lambda: says().keys() >= APISERVER.keys())
    said = says()
    assert {name: said[name] for name in APISERVER} == APISERVER
