"""What an installation looks like, as values for the checks. A part that could not be read is an `Unknown`."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import Struct

from webhook.config.effective import EffectiveConfig
from webhook.constants import InstallationNames
from webhook.diagnostics import webhook_match
from webhook.kube.objects import (
    Deployment,
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
from webhook.kube.unknown import DryRunResult, Unknown
from webhook.readiness import Readiness

#: The containers of a replica.
WEBHOOK, REFRESHER = "webhook", "refresher"
#: The policy that does the webhook's work where a match condition keeps it from being called.
MUTATE_POLICY_NAME = "registry-webhook-mutate"
#: An argument of the sidecar's begins so where that keeps the certificate.
_KEEPS_CERTIFICATE = "--tls-folder"


class InvalidConfig(NamedTuple):
    """What stands in a configuration's place that is broken."""

    lines: tuple[str, ...]


class Sample(NamedTuple):
    """A value that a process tells Prometheus."""

    name: str
    labels: Mapping[str, str]
    value: float


class ProcessStatus(Struct, frozen=True):
    """What a process says of itself."""

    readiness: Readiness | None = None
    """What its `/readyz` says; None where that is text, as the webhook's and an older sidecar's is."""
    samples: tuple[Sample, ...] = ()

    def value(self, name: str) -> float | None:
        """Give a metric that has no labels; None where it does not say it."""
        return next((sample.value for sample in self.samples if sample.name == name), None)

    def label(self, name: str, label: str) -> str | None:
        """Give a label of a metric."""
        return next((sample.labels.get(label) for sample in self.samples if sample.name == name), None)


class Replica(Struct, frozen=True):
    """A Pod of ours and its two processes."""

    pod: Pod
    webhook: ProcessStatus | Unknown
    refresher: ProcessStatus | Unknown

    @property
    def name(self) -> str:
        """Give the Pod's name."""
        return self.pod.metadata.name

    @property
    def processes(self) -> dict[str, ProcessStatus | Unknown]:
        """Give what each container says."""
        return {WEBHOOK: self.webhook, REFRESHER: self.refresher}


class Lease(NamedTuple):
    """Which replica writes."""

    holder: str
    """Empty where it was given up."""
    renewed: datetime | None
    """When the holder said last that it is there, aware."""
    duration: timedelta = timedelta()
    """How long it holds the Lease from then on."""


class Permission(NamedTuple):
    """What an account may do."""

    verb: str
    group: str
    resource: str
    name: str = ""
    """Of the one object; empty for any."""
    namespace: str = ""
    """Empty for all of them."""

    def __str__(self) -> str:
        """Give it in words: `create leases registry-webhook-refresher in registry-webhook`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f" {self.name}" if self.name else ""
        return f"{self.verb} {resource}{named}" + (f" in {self.namespace}" if self.namespace else "")


class Binding(NamedTuple):
    """What puts an admission policy in force."""

    policy: str
    denies: bool


class DryRun(NamedTuple):
    """A Pod that was tried."""

    namespace: str
    written: str
    """Its image."""
    result: DryRunResult | Unknown


class InstallationSnapshot(Struct, frozen=True, kw_only=True):
    """All of it."""

    now: datetime
    """Aware."""
    names: InstallationNames = InstallationNames()
    configuration: EffectiveConfig | InvalidConfig | Unknown
    """As the webhook has it."""
    sidecar_hash: str | None = None
    """The hash of the configuration as the sidecar has it, where that can be told."""
    webhook_configuration: WebhookConfiguration | Unknown | None
    deployment: Deployment | Unknown | None
    endpoint_slices: tuple[EndpointSlice, ...] | Unknown = ()
    replicas: tuple[Replica, ...] | Unknown = ()
    certificate: Secret | Unknown | None = None
    lease: Lease | Unknown | None = None
    namespaces: tuple[Namespace, ...] | Unknown = ()
    pull_secrets: tuple[ManagedObject, ...] | Unknown = ()
    """All Secrets of the pull secret's name, without their content."""
    wrong_type_secrets: tuple[ManagedObject, ...] | Unknown = ()
    """Those of them that are of another type than a pull secret."""
    guards: tuple[str, ...] | Unknown = ()
    """The names of the validating admission policies that there are."""
    bindings: tuple[Binding, ...] | Unknown = ()
    permissions: Mapping[Permission, bool | Unknown] = {}
    policies: tuple[Object, ...] | Unknown = ()
    """Admission policies of both kinds, those that were generated among them."""
    waiting_pods: tuple[Pod, ...] | Unknown = ()
    """Pods with a container that waits for its image, of selected namespaces and the installation's own."""
    pull_events: tuple[Event, ...] | Unknown = ()
    """Events that say of these Pods that something failed."""
    dry_run: DryRun | None = None
    """None where no namespace is served."""

    @property
    def webhook(self) -> Webhook | None:
        """The webhook in its configuration."""
        return webhook_match.find_webhook(self.webhook_configuration)

    @property
    def is_rewritten_by_policy(self) -> bool:
        """Whether the webhook is never called or there is none, because the API server itself is to rewrite."""
        if self.webhook is None:
            return not isinstance(self.webhook_configuration, Unknown) and self.has_policy
        return webhook_match.is_never_called(self.webhook)

    @property
    def has_policy(self) -> bool:
        """Whether there is the policy that does the webhook's work."""
        name = self.names.renamed(MUTATE_POLICY_NAME)
        return not isinstance(self.policies, Unknown) and name in {one.metadata.name for one in self.policies}

    @property
    def outage_effect(self) -> str:
        """Say what happens while the webhook gives no answer."""
        if self.is_rewritten_by_policy:
            return "it is not called, for a policy rewrites"
        if self.webhook is not None and self.webhook.failure_policy == "Fail":
            return "Pods of served namespaces are refused"
        return "Pods are made as they are written"

    @property
    def manages_certificate(self) -> bool:
        """Whether the sidecar makes the certificate and keeps `caBundle`."""
        if not isinstance(self.deployment, Deployment):
            return False
        processes = self.deployment.spec.template.spec.containers
        return any(word.startswith(_KEEPS_CERTIFICATE) for process in processes for word in process.args)

    @property
    def replicas_or_empty(self) -> tuple[Replica, ...]:
        """The replicas that are known, those whose processes say nothing too."""
        return () if isinstance(self.replicas, Unknown) else self.replicas
