"""Finds Pods in Kubernetes objects: Pods themselves, and the templates of workloads."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from webhook.errors import InvalidManifest
from webhook.log import shorten
from webhook.settings import ALIASES, ROOTS

_TEMPLATE = ("spec", "template")
_JOB_TEMPLATE = ("spec", "jobTemplate", "spec", "template")
#: The paths of Pods in Kubernetes' own kinds. An object without a Pod at its path is malformed.
_PATHS: dict[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": _JOB_TEMPLATE,
}
_GROUPS = frozenset({"", "apps", "batch", "extensions"})
#: The keys at the top of a configuration.
_CONFIGURATION = frozenset(path.partition(".")[0] for path in (*ROOTS, *ALIASES))
_SHOWN = 100
#: The objects that are searched, in a hint for a file without one.
READ_KINDS = "Pods, objects with a Pod template, and Lists of these are read, and other objects are ignored"
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


class Workload(NamedTuple):
    """A Pod or an object that creates Pods."""

    kind: str
    name: str
    namespace: str | None
    path: tuple[str | int, ...]
    """The keys and indexes that lead from the document to the Pod or template."""
    pod: dict[str, Any]
    """The Pod, or the template: `metadata` and `spec`."""

    @property
    def names_image(self) -> bool:
        """Whether a container or volume of the Pod names an image."""
        spec = self.pod.get("spec")
        if not isinstance(spec, dict):
            return False
        sources = [volume.get("image") for volume in _mappings(spec.get("volumes"))]
        return any("image" in container for container in _containers(self.pod)) or any(
            isinstance(source, dict) and "reference" in source for source in sources
        )

    def __str__(self) -> str:
        """`Deployment/web`, as kubectl writes it."""
        return f"{self.kind}/{self.name}"


def workloads(document: Any) -> Iterator[Workload]:
    """Find every workload in a document, also in the items of a List.

    Raises `InvalidManifest` if it is not a Kubernetes object.
    """
    yield from _workloads(document, (), None)


def _workloads(document: Any, path: tuple[str | int, ...], default: str | None) -> Iterator[Workload]:
    """Find the workloads at a path. `default` is the kind of items of a list that have none."""
    kind = document.get("kind", default) if isinstance(document, dict) else None
    if not isinstance(kind, str):
        is_configuration = isinstance(document, dict) and not _CONFIGURATION.isdisjoint(document)
        hint = "pass a configuration with --config" if is_configuration else ""
        raise InvalidManifest("not a Kubernetes manifest, because it has no kind", hint=hint)
    if kind.endswith("List") and isinstance(document.get("items"), list):
        for index, item in enumerate(document["items"]):
            yield from _workloads(item, (*path, "items", index), kind.removesuffix("List") or None)
        return
    below = _path(kind, document)
    if below is None:
        return
    pod = _at(document, below)
    if not isinstance(pod, dict):
        raise InvalidManifest(f"the {kind} has no {'.'.join(below)}")
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    name = metadata.get("name") or metadata.get("generateName") or "?"
    namespace = metadata.get("namespace")
    if not isinstance(namespace, str | None):
        raise InvalidManifest("metadata.namespace must be a string")
    for container in _containers(pod):
        image = container.get("image")
        if not isinstance(image, str | None):
            shown = shorten(str(container.get("name", "?")), _SHOWN)
            raise InvalidManifest(f"the image of container {shown} must be a string", hint="write the image in quotes")
    yield Workload(kind, str(name), namespace, (*path, *below), pod)


def _path(kind: str, document: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the path of the Pod in an object, by its kind or, for unknown kinds, by the shape of the object."""
    group, slash, _ = str(document.get("apiVersion", "")).rpartition("/")
    if kind in _PATHS and (not slash or group in _GROUPS):
        return _PATHS[kind]
    for path in (_TEMPLATE, _JOB_TEMPLATE):
        if isinstance(_at(document, (*path, "spec", "containers")), list):
            return path
    return None


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    spec = pod.get("spec")
    return [one for key in _CONTAINERS for one in _mappings(spec.get(key))] if isinstance(spec, dict) else []


def _mappings(items: Any) -> list[dict[str, Any]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
