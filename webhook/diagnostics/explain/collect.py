"""Read from the cluster what explanations need: shared objects once, and the others for each Pod."""

import time
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.diagnostics import running_pods
from webhook.diagnostics.explain.pod_context import PodContext
from webhook.diagnostics.explain.pod_images import as_written
from webhook.diagnostics.explain.subjects import POD, Kind, Subject
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.errors import ClusterError, NotReadable
from webhook.kube.access import SERVER_HINT
from webhook.kube.installed_config import InstalledObjects
from webhook.kube.objects import DryRunResult, Metadata, Namespace, Object, Secret
from webhook.kube.partial import attempt, known_or
from webhook.kube.pod_templates import Workload, workloads
from webhook.kube.reader import (
    ENDPOINT_SLICES,
    EVENTS,
    JOBS,
    MUTATING_POLICIES,
    NAMESPACES,
    POD_MANIFESTS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SECRET_CONTENTS,
    VALIDATING_POLICIES,
    WEBHOOKS,
    Reader,
    Resource,
)
from webhook.output import kubectl

_T = TypeVar("_T")

#: The longest chain of owners that is followed.
_DEPTH = 4
#: Owners that can have an owner themselves, of which only the metadata is read.
_OWNERS: dict[tuple[str, str], Resource[Object]] = {
    ("apps", "ReplicaSet"): REPLICA_SETS,
    ("batch", "Job"): JOBS,
    ("", "ReplicationController"): REPLICATION_CONTROLLERS,
}
#: The objects between a workload and its Pods.
_BETWEEN: dict[str, Resource[Object]] = {"Deployment": REPLICA_SETS, "CronJob": JOBS}


class Collector:
    """Reader of the contexts of Pods, which share the objects of the installation."""

    def __init__(
        self, reader: Reader, objects: InstalledObjects, settings: EffectiveConfig | NotReadable, *, dry_run: bool
    ) -> None:
        names = objects.names
        self._reader = reader
        self._objects = objects
        self._settings = settings
        self._dry_run = dry_run
        self._mutator = settings.mutator if isinstance(settings, EffectiveConfig) else None
        self._configuration = attempt(reader.get, WEBHOOKS, names.configuration)
        self._policies = attempt(reader.list, MUTATING_POLICIES)
        self._guards = attempt(reader.list, VALIDATING_POLICIES)
        labels = f"kubernetes.io/service-name={names.service}"
        self._endpoints = attempt(reader.list, ENDPOINT_SLICES, names.namespace, labels=labels)

    def collect(self, subject: Subject, namespace: str) -> list[PodContext]:
        """Read the context of a Pod or, for a workload, of the Pods that it would create and its newest Pod.

        Raises `ClusterError` if the object cannot be read.
        """
        kind, name = subject
        if kind is POD:
            return [self._existing(self._read(POD_MANIFESTS, kind.name, namespace, name), namespace)]
        found = self._read(kind.resource, kind.name, namespace, name)
        manifest = {"apiVersion": f"{kind.group}/v1".lstrip("/"), "kind": kind.name, **found}
        owner = self._topmost(_metadata(found), WorkloadName(kind.name, name, kind.group))
        planned = [self.plan(one, namespace)._replace(owner=owner) for one in workloads(manifest)]
        newest = known_or(attempt(self._newest_pod, kind, found, namespace), None)
        return planned if newest is None else [*planned, self._existing(newest, namespace)]

    def plan(self, workload: Workload, default_namespace: str) -> PodContext:
        """Read the context of the Pods of a workload in a manifest.

        A workload that names no namespace is in `default_namespace`.
        """
        namespace = workload.namespace or default_namespace
        metadata = workload.pod.get("metadata")
        manifest = {**workload.pod, "metadata": metadata if isinstance(metadata, dict) else {}}
        subject = f"{workload.kind} {namespace}/{workload.name}"
        return self._context(subject, namespace, manifest)

    def _read(self, resource: Resource[_T], kind: str, namespace: str, name: str) -> _T:
        found = self._reader.get(resource, name, namespace)
        if found is None:
            hint = kubectl.line("get", resource.plural, namespace=namespace)
            raise ClusterError(f"{kind} {namespace}/{name} does not exist", hint=hint or "")
        return found

    def _existing(self, found: dict[str, Any], namespace: str) -> PodContext:
        metadata = _metadata(found)
        # By uid: an earlier Pod may have had the same name.
        fields = f"involvedObject.kind=Pod,involvedObject.uid={metadata.uid}"
        # Events only add details to the Pod's status, so they may be missing.
        events = known_or(attempt(self._reader.list, EVENTS, namespace, fields=fields), ())
        context = self._context(f"Pod {namespace}/{metadata.name}", namespace, found)
        owner = self._topmost(metadata, WorkloadName("Pod", metadata.name))
        return context._replace(exists=True, events=events, owner=owner)

    def _topmost(self, metadata: Metadata, itself: WorkloadName) -> WorkloadName:
        """Return the topmost owner of an object that can be read, or the object itself."""
        found = itself
        for _ in range(_DEPTH):
            owner = running_pods.controller(metadata.owner_references)
            if owner is None:
                break
            found = WorkloadName.of(owner)
            resource = _OWNERS.get((owner.group, owner.kind))
            above = attempt(self._reader.get, resource, owner.name, metadata.namespace) if resource else None
            # An owner reference can name an object that does not exist, or another one of the same name.
            if not isinstance(above, Object) or above.metadata.uid != owner.uid:
                break
            metadata = above.metadata
        return found

    def _newest_pod(self, kind: Kind, workload: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        """Return the newest Pod of a workload. Raises `NotReadable`."""
        owners = {_metadata(workload).uid}
        between = _BETWEEN.get(kind.name)
        if between is not None:
            owners = {one.metadata.uid for one in self._reader.list(between, namespace) if _owner_of(one) in owners}
        selector = _selector(workload)
        pods = [(_metadata(pod), pod) for pod in self._reader.list(POD_MANIFESTS, namespace, labels=selector)]
        own = [
            (metadata.creation_timestamp or "", pod)
            for metadata, pod in pods
            if metadata.deletion_timestamp is None and owners & {owner.uid for owner in metadata.owner_references}
        ]
        return max(own, key=itemgetter(0), default=("", None))[1]

    def _context(self, subject: str, namespace: str, manifest: dict[str, Any]) -> PodContext:
        secret: Secret | NotReadable | None = None
        if self._mutator is not None and self._mutator.pull_secret is not None:
            secret = attempt(self._reader.get, SECRET_CONTENTS, self._mutator.pull_secret, namespace)
        result: DryRunResult | NotReadable | None = None
        if self._dry_run:
            result = attempt(self._reader.dry_run_create, as_written(manifest, self._mutator), namespace)
        return PodContext(
            subject=subject,
            namespace=namespace,
            manifest=manifest,
            exists=False,
            settings=self._settings,
            namespace_object=attempt(self._namespace, namespace),
            configuration=self._configuration,
            policies=self._policies,
            endpoints=self._endpoints,
            config_map=self._objects.config_map,
            secret=secret,
            events=(),
            dry_run=result,
            now=time.time(),
            guards=self._guards,
            names=self._objects.names,
        )

    def _namespace(self, name: str) -> Namespace:
        found = self._reader.get(NAMESPACES, name)
        if found is None:
            raise NotReadable(f"namespace {name} does not exist")
        return found


def _metadata(manifest: dict[str, Any]) -> Metadata:
    """Return the metadata of an object as the API server stores it. Raises `ClusterError` for anything else."""
    try:
        return msgspec.convert(manifest.get("metadata"), Metadata)
    except msgspec.ValidationError:
        raise ClusterError("unexpected response; is this a Kubernetes API server?", hint=SERVER_HINT) from None


def _owner_of(found: Object) -> str | None:
    owner = running_pods.controller(found.metadata.owner_references)
    return None if owner is None else owner.uid


def _selector(workload: dict[str, Any]) -> str:
    """Return a selector for the Pods of a workload by its exact labels; empty if it has none."""
    selector = workload.get("spec", {}).get("selector") or {}
    labels = selector.get("matchLabels", selector) if isinstance(selector, dict) else {}
    return ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str))
