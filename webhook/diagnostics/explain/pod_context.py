"""What was read for one Pod, and what follows from it."""

from typing import Any, NamedTuple

from webhook.config.effective import EffectiveConfig
from webhook.constants import MIRROR_ANNOTATION, InstallationNames
from webhook.diagnostics import restart_commands
from webhook.diagnostics.generated_policies import generated
from webhook.diagnostics.remedy import Remedy
from webhook.diagnostics.restart_commands import WorkloadName
from webhook.errors import NotPermitted, NotReadable
from webhook.kube.objects import (
    ConfigMap,
    DryRunResult,
    EndpointSlice,
    Event,
    Namespace,
    Object,
    Secret,
    WebhookConfiguration,
)
from webhook.kube.partial import known_or

_WEBHOOK = "the webhook"


class PodContext(NamedTuple):
    """The objects read for one Pod; None if one does not exist or was not requested."""

    subject: str
    """`Pod team-a/web-1`, or `Deployment team-a/web` for the Pods that it creates."""
    namespace: str
    manifest: dict[str, Any]
    """The Pod as it is stored, or as it would be created."""
    exists: bool
    settings: EffectiveConfig | NotReadable
    namespace_object: Namespace | NotReadable
    configuration: WebhookConfiguration | NotReadable | None
    policies: tuple[Object, ...] | NotReadable
    """The cluster's MutatingAdmissionPolicies."""
    endpoints: tuple[EndpointSlice, ...] | NotReadable
    """Those of the webhook's Service."""
    config_map: ConfigMap | NotReadable | None
    secret: Secret | NotReadable | None
    events: tuple[Event, ...]
    dry_run: DryRunResult | NotReadable | None
    """The result of a dry run with the Pod as it was written."""
    now: float
    """POSIX time."""
    guards: tuple[Object, ...] | NotReadable = ()
    """The cluster's ValidatingAdmissionPolicies."""
    names: InstallationNames = InstallationNames()
    owner: WorkloadName | None = None
    """The topmost owner of the Pod, or the Pod itself; None if nothing of it is in the cluster."""

    @property
    def name(self) -> str:
        """The Pod's name; empty if it has none yet."""
        name = (self.manifest.get("metadata") or {}).get("name")
        return name if isinstance(name, str) else ""

    @property
    def recreation(self) -> Remedy:
        """How to recreate the Pod."""
        annotations = (self.manifest.get("metadata") or {}).get("annotations") or {}
        if MIRROR_ANNOTATION in annotations or (not self.exists and (self.owner is None or self.owner.kind == "Pod")):
            return Remedy()
        return restart_commands.of_pod(self.namespace, self.name, self.owner, ready=not self.exists or self.is_ready)

    @property
    def is_ready(self) -> bool:
        """Whether all containers of the Pod are ready."""
        status = self.manifest.get("status") or {}
        statuses = status.get("containerStatuses") or ()
        return status.get("phase") == "Running" and all(one.get("ready", True) for one in statuses)

    @property
    def denied(self) -> tuple[str, ...]:
        """What the user has no permission to read, outside and inside the Pod's namespace, in words."""
        parts = (
            (self.namespace_object, f"the labels of namespace {self.namespace}"),
            (self.settings, "the configuration"),
            (self.configuration, "the webhook configuration"),
            (self.policies, "admission policies"),
            (self.guards, "admission policies"),
            (self.endpoints, "the webhook's endpoints"),
        )
        return tuple(dict.fromkeys(what for part, what in parts if isinstance(part, NotPermitted)))

    @property
    def has_unread_parts(self) -> bool:
        """Whether the configuration or another part could not be read for lack of permissions."""
        return bool(self.denied) or isinstance(self.secret, NotPermitted)

    @property
    def effective(self) -> EffectiveConfig | None:
        """The configuration, if it could be read."""
        return known_or(self.settings, None)

    @property
    def is_installed(self) -> bool:
        """Whether there is an installation, or may be one that cannot be read."""
        return self.config_map is not None or self.configuration is not None

    @property
    def own_guards(self) -> tuple[Object, ...]:
        """The generated policies that refuse Pods that were not rewritten."""
        return generated(known_or(self.guards, ()), self.names.namespace)

    @property
    def own_policies(self) -> tuple[Object, ...]:
        """The admission policies that were generated from a configuration."""
        return generated(known_or(self.policies, ()), self.names.namespace)

    @property
    def rewriters(self) -> tuple[tuple[str, str | None], ...]:
        """The webhook and policies that rewrite Pods, in words, with their creation times, RFC 3339."""
        found = self.configuration
        webhook = ((_WEBHOOK, found.metadata.creation_timestamp),) if isinstance(found, WebhookConfiguration) else ()
        policies = (
            (f"the admission policy {one.metadata.name}", one.metadata.creation_timestamp) for one in self.own_policies
        )
        return (*webhook, *policies)
