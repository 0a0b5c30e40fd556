"""Pods that run on a node, each with an image that must be pulled from the private registry."""

import json

from .cluster import Cluster, Manifest, eventually
from .pods import IMAGE, PULL_SECRET, REWRITTEN, pod

#: What kubelet says of a container whose image it cannot get.
NOT_PULLED = {"ErrImagePull", "ImagePullBackOff"}

#: A minute where the node is busy; each try after a failed pull comes later than the one before.
_DEADLINE = 60.0


def written(name: str, *, secret: bool) -> Manifest:
    """Make a Pod that is pulled anew; with a `secret`, as the webhook would have made it, else as a user writes it."""
    manifest = pod(name, app=REWRITTEN if secret else IMAGE)
    (container,) = manifest["spec"]["containers"]
    container["imagePullPolicy"] = "Always"
    del manifest["spec"]["nodeSelector"]
    manifest["spec"]["terminationGracePeriodSeconds"] = 0
    if secret:
        manifest["spec"]["imagePullSecrets"] = [{"name": PULL_SECRET}]
    return manifest


def runs(cluster: Cluster, namespace: str, manifest: Manifest) -> None:
    """Store a Pod, and wait until it runs."""
    cluster.create(namespace, manifest)
    name = manifest["metadata"]["name"]
    eventually(f"the Pod {name} runs", lambda: state(cluster, namespace, name) == "running", _DEADLINE)
    # A node has room for so many.
    remove(cluster, namespace, name)


def state(cluster: Cluster, namespace: str, name: str) -> str:
    """Say how a Pod's container is: `running`, or why not."""
    statuses = cluster.get(namespace, f"pod/{name}")["status"].get("containerStatuses")
    if not statuses:
        return "nothing is known yet"
    ((kind, detail),) = statuses[0]["state"].items()
    return "running" if kind == "running" else str(detail.get("reason", json.dumps(detail)))


def remove(cluster: Cluster, namespace: str, name: str) -> None:
    """Have a Pod gone soon."""
    cluster.kubectl("delete", "pod", name, "--namespace", namespace, "--grace-period=1", "--wait=false")
