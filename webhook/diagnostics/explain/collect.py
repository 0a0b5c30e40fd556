"""Read from the cluster what explanations need: shared objects once, and the others for each Pod."""

import time
from typing import Any

from webhook.config.effective import EffectiveConfig
from webhook.diagnostics.explain.analysis import PodContext, as_written
from webhook.errors import ClusterError, NotReadable
from webhook.kube.installed_config import InstalledObjects
from webhook.kube.objects import DryRunResult, Namespace, Secret
from webhook.kube.partial import attempt, known_or
from webhook.kube.pod_templates import Workload
from webhook.kube.reader import (
    ENDPOINT_SLICES,
    EVENTS,
    MUTATING_POLICIES,
    NAMESPACES,
    POD_MANIFESTS,
    SECRET_CONTENTS,
    VALIDATING_POLICIES,
    WEBHOOKS,
    Reader,
)


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

    def collect(self, subject: str | Workload, namespace: str) -> PodContext:
        """Read the context of an existing Pod, given by its name, or of the Pods of a workload that is not applied yet.

        A workload that names no namespace is in `namespace`. Raises `ClusterError` if the Pod cannot be read.
        """
        return self._existing(subject, namespace) if isinstance(subject, str) else self._planned(subject, namespace)

    def _existing(self, name: str, namespace: str) -> PodContext:
        found = self._reader.get(POD_MANIFESTS, name, namespace)
        if found is None:
            raise ClusterError(f"there is no Pod {namespace}/{name}")
        # By uid: an earlier Pod may have had the same name.
        fields = f"involvedObject.kind=Pod,involvedObject.uid={found['metadata']['uid']}"
        # Events only add details to the Pod's status, so they may be missing.
        events = known_or(attempt(self._reader.list, EVENTS, namespace, fields=fields), ())
        return self._context(f"{namespace}/{name}", namespace, found)._replace(exists=True, events=events)

    def _planned(self, workload: Workload, default_namespace: str) -> PodContext:
        namespace = workload.namespace or default_namespace
        metadata = workload.pod.get("metadata")
        manifest = {**workload.pod, "metadata": metadata if isinstance(metadata, dict) else {}}
        return self._context(f"{namespace}/{workload.name}", namespace, manifest)

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
            raise NotReadable(f"there is no namespace {name}")
        return found
