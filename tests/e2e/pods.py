"""Pods that are stored but never run: no node fits them, and deleting one takes no time."""

import json

from .cluster import Cluster, Manifest

#: The private registry that the servers under test are configured with. Nothing is ever pulled from it.
SERVER = "registry.example.com"
IMAGE = "opencti/connector-example:1.0.0"
REWRITTEN = f"{SERVER}/{IMAGE}"
PULL_SECRET = "registry-webhook-pull"  # noqa: S105 - a name

#: No node has this label.
NOWHERE = {"registry-webhook-e2e": "no-node-has-this"}


def spec(**images: str) -> Manifest:
    """Make a Pod's spec from each container's name and image."""
    containers = [{"name": name, "image": image} for name, image in images.items()]
    return {"nodeSelector": NOWHERE, "containers": containers}


def pod(name: str, **images: str) -> Manifest:
    """Make a Pod from each container's name and image."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec(**images)}


def images(stored: Manifest, field: str = "containers") -> dict[str, str]:
    """Give each container's image."""
    return {container["name"]: container["image"] for container in stored["spec"].get(field, [])}


def becomes(cluster: Cluster, namespace: str) -> str | None:
    """Make a Pod in a namespace as a dry run, and give its image, or None where it is refused."""
    arguments = ("create", "--namespace", namespace, "--dry-run=server", "--filename=-", "--output=json")
    ran = cluster.run(*arguments, stdin=pod("probe", app=IMAGE))
    return None if ran.status else images(ran.manifest)["app"]


def pull_secrets(stored: Manifest) -> list[str]:
    """Give the names of the Pod's pull secrets."""
    return [secret["name"] for secret in stored["spec"].get("imagePullSecrets", [])]


def originals(stored: Manifest) -> dict[str, str] | None:
    """Give what the annotation says the images were, or None where there is no annotation."""
    annotation = stored["metadata"].get("annotations", {}).get("registry-webhook/original-images")
    return None if annotation is None else dict(json.loads(annotation))
