"""Where Pods stand in Kubernetes objects: a Pod itself, or the template of whatever makes Pods."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from webhook.errors import InvalidManifest

_TEMPLATE = ("spec", "template")
_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


class Workload(NamedTuple):
    """An object that is a Pod or makes Pods."""

    kind: str
    name: str
    namespace: str | None
    path: tuple[str | int, ...]
    """Where in its document the Pod or template stands, a key or index each."""
    pod: dict[str, Any]
    """The Pod, or the template: `metadata` and `spec`."""

    def __str__(self) -> str:
        """Give the object as kubectl writes it: `Deployment/web`."""
        return f"{self.kind}/{self.name}"


def workloads(document: Any) -> Iterator[Workload]:
    """Find every workload in one document: in an object, and in the items of a List.

    Raises `InvalidManifest` for what is no Kubernetes object.
    """
    yield from _workloads(document, ())


def _workloads(document: Any, path: tuple[str | int, ...]) -> Iterator[Workload]:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise InvalidManifest("it is no Kubernetes manifest: there is no kind")
    kind = document["kind"]
    if kind.endswith("List") and isinstance(document.get("items"), list):
        for index, item in enumerate(document["items"]):
            yield from _workloads(item, (*path, "items", index))
        return
    if kind not in _PATHS:
        return
    pod: Any = document
    for key in _PATHS[kind]:
        pod = pod.get(key) if isinstance(pod, dict) else None
    if not isinstance(pod, dict):
        raise InvalidManifest(f"the {kind} has no {'.'.join(_PATHS[kind])}")
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name") or metadata.get("generateName") or "?"
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str | None):
        raise InvalidManifest("metadata.namespace is no text")
    yield Workload(kind, str(name), namespace, (*path, *_PATHS[kind]), pod)
