"""Snapshot of an installation for the checks. A part that could not be read is a `NotReadable`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from webhook.build_info import Build
from webhook.config.effective import EffectiveConfig
from webhook.constants import MUTATE_POLICY, InstallationNames
from webhook.diagnostics import webhook_match
from webhook.errors import NotReadable
from webhook.kube.installed_config import REFRESHER, WEBHOOK
from webhook.kube.objects import (
    Deployment,
    DryRunResult,
    EndpointSlice,
    Event,
    ManagedObject,
    Namespace,
    Object,
    Pod,
    Secret,
    Webhook,
    WebhookConfiguration,
)
from webhook.kube.partial import known_or
from webhook.kubernetes_version import KubernetesVersion
from webhook.readiness import Readiness

#: The prefix of the refresher's argument that makes it manage the certificate.
_MANAGES_CERTIFICATE = "--tls-folder"
#: The annotation with which cert-manager's cainjector writes `caBundle`.
_INJECTED = "cert-manager.io/inject-ca-from"
#: The metric of both processes with their build.
_BUILD = "registry_webhook_build_info"


class InvalidConfig(NamedTuple):
    """The issues of an invalid configuration."""

    lines: tuple[str, ...]
    hints: tuple[str, ...] = ()
    """What to write instead, for each line; empty strings where there is no hint."""


class Sample(NamedTuple):
    """A sample of a Prometheus metric."""

    name: str
    labels: Mapping[str, str]
    value: float


class ProcessStatus(Struct, frozen=True):
    """The state that a process reports about itself."""

    readiness: Readiness | None = None
    """Its `/readyz`; None if that is text, as the webhook's and older refreshers' is."""
    samples: tuple[Sample, ...] = ()

    def value(self, name: str) -> float | None:
        """Return a metric without labels, or None."""
        return next((sample.value for sample in self.samples if sample.name == name), None)

    @property
    def build(self) -> Build | None:
        """The build that runs; None if its metrics could not be parsed."""
        version = self.label(_BUILD, "version")
        return None if version is None else Build(version, self.label(_BUILD, "revision") or "unknown")

    def label(self, name: str, label: str) -> str | None:
        return next((sample.labels.get(label) for sample in self.samples if sample.name == name), None)


class Replica(Struct, frozen=True):
    """A Pod of the installation and its two processes."""

    pod: Pod
    webhook: ProcessStatus | NotReadable
    refresher: ProcessStatus | NotReadable

    @property
    def name(self) -> str:
        return self.pod.metadata.name

    @property
    def statuses(self) -> dict[str, ProcessStatus]:
        """The status of each container that responded."""
        both = {WEBHOOK: self.webhook, REFRESHER: self.refresher}
        return {container: status for container, status in both.items() if isinstance(status, ProcessStatus)}


class Lease(NamedTuple):
    """The Lease of the replica that writes."""

    holder: str
    """Empty if it was released."""
    renewed: datetime | None
    """Time of the last renewal, aware."""
    duration: timedelta = timedelta()
    """The validity after the last renewal."""


class Permission(NamedTuple):
    """A permission of a ServiceAccount."""

    verb: str
    group: str
    resource: str
    name: str = ""
    """Empty for any name."""
    namespace: str = ""
    """Empty for all namespaces."""

    def __str__(self) -> str:
        """`create leases registry-webhook-refresher in registry-webhook`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {resource}{named}" + (f" in {self.namespace}" if self.namespace else "")


class Binding(NamedTuple):
    """The binding of an admission policy."""

    policy: str
    denies: bool
    parameter: str | None = None
    """The name of the object that is the policy's parameter."""


class CredentialSecret(NamedTuple):
    """The Secret that the refresher reads the credential from. Its values are not read."""

    name: str
    needed: tuple[str, ...]
    """The keys that are mounted."""
    keys: tuple[str, ...] | None
    """The keys that it has; None if it does not exist."""
    is_of_release: bool = False
    """Whether Helm created it, and would write over a change with the next upgrade."""


class DryRun(NamedTuple):
    """A dry run of creating a Pod."""

    namespace: str
    written: str
    """Its image."""
    result: DryRunResult | NotReadable


class InstallationSnapshot(Struct, frozen=True, kw_only=True):
    """Everything that the checks read."""

    now: datetime
    """Aware."""
    names: InstallationNames = InstallationNames()
    kubernetes: KubernetesVersion | None = None
    """The API server's version; None if it is not one that can be compared."""
    configuration: EffectiveConfig | InvalidConfig | NotReadable
    """The configuration of the webhook container."""
    sidecar_hash: str | None = None
    """The digest of the configuration of the refresher container, if it is known."""
    webhook_configuration: WebhookConfiguration | NotReadable | None
    deployment: Deployment | NotReadable | None
    other_configurations: tuple[WebhookConfiguration, ...] | NotReadable = ()
    """The webhook configurations of other installations."""
    endpoint_slices: tuple[EndpointSlice, ...] | NotReadable = ()
    replicas: tuple[Replica, ...] | NotReadable = ()
    certificate: Secret | NotReadable | None = None
    lease: Lease | NotReadable | None = None
    namespaces: tuple[Namespace, ...] | NotReadable = ()
    pull_secrets: tuple[ManagedObject, ...] | NotReadable = ()
    """All Secrets of the pull secret's name, without their content."""
    wrong_type_secrets: tuple[ManagedObject, ...] | NotReadable = ()
    """Those of another type than a pull secret."""
    guards: tuple[str, ...] | NotReadable = ()
    """The names of all ValidatingAdmissionPolicies."""
    credential_secret: CredentialSecret | NotReadable | None = None
    """None if the configuration does not name files of a mounted Secret."""
    bindings: tuple[Binding, ...] | NotReadable = ()
    permissions: Mapping[Permission, bool | NotReadable] = {}
    policies: tuple[Object, ...] | NotReadable = ()
    """All admission policies of both kinds."""
    waiting_pods: tuple[Pod, ...] | NotReadable = ()
    """Pods with a container that waits for its image, of selected namespaces and the installation's own."""
    pull_events: tuple[Event, ...] = ()
    """Events about failures in the namespaces of these Pods."""
    dry_run: DryRun | None = None
    """None if no namespace is selected."""

    @property
    def webhook(self) -> Webhook | None:
        """Our webhook in its configuration."""
        return webhook_match.find_webhook(self.webhook_configuration)

    @property
    def is_rewritten_by_policy(self) -> bool:
        """Whether a policy rewrites Pods, and the webhook is never called or does not exist."""
        if self.webhook is None:
            return not isinstance(self.webhook_configuration, NotReadable) and self.has_policy
        return webhook_match.is_never_called(self.webhook)

    @property
    def has_policy(self) -> bool:
        """Whether the policy exists that can replace the webhook."""
        name = self.names.renamed(MUTATE_POLICY)
        return name in {one.metadata.name for one in known_or(self.policies, ())}

    @property
    def outage_effect(self) -> str:
        """The effect of a webhook that does not answer, in words."""
        if self.is_rewritten_by_policy:
            return "a policy rewrites Pods instead, so they are not affected"
        if self.fails_closed:
            return "Pods in selected namespaces are refused"
        return "Pods are created unchanged"

    @property
    def fails_closed(self) -> bool:
        """Whether Pods are refused while the webhook does not answer."""
        return self.webhook is not None and self.webhook.failure_policy == "Fail"

    @property
    def has_deployment(self) -> bool:
        """Whether the Deployment exists and could be read."""
        return known_or(self.deployment, None) is not None

    @property
    def manages_certificate(self) -> bool:
        """Whether the refresher creates the certificate and writes `caBundle`."""
        deployment = known_or(self.deployment, None)
        processes = deployment.spec.template.spec.containers if deployment else ()
        return any(word.startswith(_MANAGES_CERTIFICATE) for process in processes for word in process.args)

    @property
    def has_injected_bundle(self) -> bool:
        """Whether cert-manager writes `caBundle`."""
        configuration = known_or(self.webhook_configuration, None)
        return configuration is not None and _INJECTED in configuration.metadata.annotations

    @property
    def replicas_or_empty(self) -> tuple[Replica, ...]:
        """The replicas, including those whose processes did not respond."""
        return known_or(self.replicas, ())

    @property
    def selected_namespaces(self) -> tuple[Namespace, ...]:
        """The selected namespaces that are not being deleted."""
        if not isinstance(self.configuration, EffectiveConfig):
            return ()
        is_selected = self.configuration.mutator.namespace_filter.is_selected
        return tuple(
            one
            for one in known_or(self.namespaces, ())
            if is_selected(one.metadata.name, one.metadata.labels) and one.metadata.deletion_timestamp is None
        )
