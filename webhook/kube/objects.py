"""Kubernetes objects with the fields that are used: https://kubernetes.io/docs/reference/kubernetes-api/.

They decode from the API server's JSON and encode to it. An absent field has a default; only fields that the API writes
as null can be None. Parts of a Pod that admission needs as well are in `kube.pod`.

Three other modules intentionally declare smaller types for the same objects: `kube.codec` for Secrets and Namespaces
that any user may fill with a MiB of labels, `admission.pod` for the latency of a review, and `diagnostics.running_pods`
for the memory of 10,000 Pods at once.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, field

from webhook.constants import CONFIGURATION_HASH_ANNOTATION, INSTALLATION_LABEL, MANAGED_BY_LABEL, PROGRAM, REFRESHER
from webhook.kube.pod import Container, SecretName, Volume

_Strings = dict[str, str]


class _Object(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    pass


class Owner(_Object, frozen=True, gc=False):
    """An ownerReference. Every field is chosen by the object's author, so the owner need not exist."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    api_version: str = ""

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]


class FieldManager(_Object, frozen=True, gc=False):
    """A client that set fields of an object: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

    manager: str = ""
    operation: str = ""


class ManagedFields(FieldManager, frozen=True, gc=False):
    """A field manager and its fields."""

    time: str = ""
    """When one of them last changed, RFC 3339."""
    fields: dict[str, Any] = field(default_factory=dict, name="fieldsV1")


class Metadata(_Object, frozen=True, gc=False):
    """An object's metadata. Times are RFC 3339."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: _Strings = field(default_factory=dict)
    annotations: _Strings = field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()


class ManagedMetadata(Metadata, frozen=True, gc=False):
    """Metadata with field managers, which are the larger part of a Pod."""

    managed_fields: tuple[ManagedFields, ...] = ()

    @property
    def managed_by(self) -> str | None:
        return self.labels.get(MANAGED_BY_LABEL)

    def changed(self, *path: str) -> str | None:
        """Return the last time that managers of a field, such as `("metadata", "labels", LABEL)`, changed any field.

        RFC 3339; None if no manager is recorded. The field itself may have changed earlier.
        """
        return max((one.time for one in self.managed_fields if _contains(one.fields, path)), default=None)

    def names_below(self, *path: str) -> frozenset[str]:
        """Return the names of the recorded fields of an object, such as the keys of `("data",)`."""
        found = (_below(one.fields, path) for one in self.managed_fields)
        return frozenset(key[2:] for fields in found for key in fields or () if key.startswith("f:"))

    def managers(self, *path: str) -> frozenset[str]:
        """Return the recorded managers of a field."""
        return frozenset(one.manager for one in self.managed_fields if _contains(one.fields, path))


def _contains(fields: dict[str, Any], path: tuple[str, ...]) -> bool:
    return _below(fields, path) is not None


def _below(fields: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the fields below a recorded field; None if that is not recorded."""
    for name in path:
        below = fields.get(f"f:{name}")
        if not isinstance(below, dict):
            return None
        fields = below
    return fields


class _Managed(Protocol):
    @property
    def managed_by(self) -> str | None: ...

    @property
    def managed_fields(self) -> Sequence[FieldManager]: ...


def is_managed_by_us(metadata: _Managed) -> bool:
    """Return whether the refresher created a pull secret, even if another client removed its label."""
    applied = any(one.manager == REFRESHER and one.operation == "Apply" for one in metadata.managed_fields)
    return applied or metadata.managed_by == PROGRAM


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


class Object(_Object, frozen=True, gc=False):
    """An object of which only the metadata is read."""

    metadata: Metadata = Metadata()


class ManagedObject(Object, frozen=True, gc=False):
    """An object of which only the metadata is read, with field managers."""

    metadata: ManagedMetadata = ManagedMetadata()


class Namespace(ManagedObject, frozen=True, gc=False):
    pass


class Waiting(_Object, frozen=True, gc=False):
    reason: str = ""
    message: str = ""


class State(_Object, frozen=True, gc=False):
    waiting: Waiting | None = None


class ContainerStatus(_Object, frozen=True, gc=False):
    name: str = ""
    image: str = ""
    image_id: str = field(default="", name="imageID")
    state: State = State()


class PodSpec(_Object, frozen=True, gc=False):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    image_pull_secrets: tuple[SecretName, ...] = ()
    service_account_name: str = ""
    node_name: str = ""


class PodStatus(_Object, frozen=True, gc=False):
    phase: str = ""
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True, gc=False):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Secret(ManagedObject, frozen=True, gc=False):
    type: str = ""
    data: _Strings = field(default_factory=dict)
    """Base64."""
    immutable: bool = False

    def value(self, key: str) -> bytes:
        """Return the decoded value of a key, empty if it does not exist or is not base64."""
        return _decoded(self.data.get(key, ""))

    def __repr__(self) -> str:
        # The content must not appear in logs or tracebacks.
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"


class Reference(_Object, frozen=True, gc=False):
    """A reference to another object."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Event(Object, frozen=True, gc=False):
    """An Event of the core group."""

    involved_object: Reference = Reference()
    reason: str = ""
    message: str = ""
    type: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None

    @property
    def last(self) -> str:
        """When it last occurred, RFC 3339."""
        return self.last_timestamp or self.event_time or self.metadata.creation_timestamp or ""


class Requirement(_Object, frozen=True, gc=False):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class Selector(_Object, frozen=True, gc=False):
    """A label selector: every requirement has to hold."""

    match_labels: _Strings = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class ServiceReference(_Object, frozen=True, gc=False):
    namespace: str = ""
    name: str = ""
    path: str = ""
    port: int = 443


class ClientConfig(_Object, frozen=True, gc=False):
    ca_bundle: str = ""
    """PEM in base64."""
    service: ServiceReference | None = None
    url: str = ""

    @property
    def ca_certificates(self) -> bytes:
        """The decoded `caBundle`, empty if it is not base64."""
        return _decoded(self.ca_bundle)


class Rule(_Object, frozen=True, gc=False):
    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = "*"


class Condition(_Object, frozen=True, gc=False):
    """A match condition in CEL."""

    name: str = ""
    expression: str = ""


class Webhook(_Object, frozen=True, gc=False):
    name: str = ""
    client_config: ClientConfig = ClientConfig()
    rules: tuple[Rule, ...] = ()
    namespace_selector: Selector = Selector()
    object_selector: Selector = Selector()
    match_conditions: tuple[Condition, ...] = ()
    match_policy: str = ""
    failure_policy: str = ""
    reinvocation_policy: str = ""
    side_effects: str = ""
    timeout_seconds: int = 10


class WebhookConfiguration(ManagedObject, frozen=True, gc=False):
    """A MutatingWebhookConfiguration."""

    webhooks: tuple[Webhook, ...] = ()


class ConfigMap(ManagedObject, frozen=True, gc=False):
    data: _Strings = field(default_factory=dict)


class Variable(_Object, frozen=True, gc=False):
    name: str = ""
    value: str | None = None
    """None with `valueFrom`."""


class Port(_Object, frozen=True, gc=False):
    name: str = ""
    container_port: int = 0


class VolumeMount(_Object, frozen=True, gc=False):
    name: str = ""
    mount_path: str = ""


class Process(_Object, frozen=True, gc=False):
    """A container of the installation's Deployment, with the fields that `doctor` reads."""

    name: str = ""
    image: str = ""
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    ports: tuple[Port, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()


class Named(_Object, frozen=True, gc=False):
    name: str = ""


class KeyToPath(_Object, frozen=True, gc=False):
    key: str = ""
    path: str = ""


class SecretVolume(_Object, frozen=True, gc=False):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    """Empty if every key is mounted as a file of its name."""


class Mounted(_Object, frozen=True, gc=False):
    """A volume of the installation's Deployment."""

    name: str = ""
    config_map: Named | None = None
    secret: SecretVolume | None = None


class ProcessesSpec(_Object, frozen=True, gc=False):
    """The Pod spec of the installation's Deployment."""

    containers: tuple[Process, ...] = ()
    volumes: tuple[Mounted, ...] = ()
    service_account_name: str = ""


class Template(_Object, frozen=True, gc=False):
    metadata: Metadata = Metadata()
    spec: ProcessesSpec = ProcessesSpec()


class DeploymentSpec(_Object, frozen=True, gc=False):
    replicas: int = 1
    template: Template = Template()


class DeploymentStatus(_Object, frozen=True, gc=False):
    replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0


class Deployment(Object, frozen=True, gc=False):
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class Conditions(_Object, frozen=True, gc=False):
    ready: bool | None = None


class Endpoint(_Object, frozen=True, gc=False):
    conditions: Conditions = Conditions()


class EndpointSlice(Object, frozen=True, gc=False):
    endpoints: tuple[Endpoint, ...] | None = None


class DryRunResult(NamedTuple):
    """The API server's response to a dry run."""

    stored: dict[str, Any] | None
    """The object as it would be stored; None if it was refused."""
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    """The reason, as the API server reports it."""


class LeaseSpec(_Object, frozen=True, gc=False):
    """The spec of a Lease: https://kubernetes.io/docs/concepts/architecture/leases/."""

    holder_identity: str | None = None
    renew_time: str | None = None
    """RFC 3339 with microseconds, as `acquire_time`."""
    acquire_time: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None


class Lease(Object, frozen=True, gc=False):
    spec: LeaseSpec = LeaseSpec()


class ParamRef(_Object, frozen=True, gc=False):
    name: str | None = None


class PolicyBindingSpec(_Object, frozen=True, gc=False):
    policy_name: str = ""
    param_ref: ParamRef = ParamRef()
    validation_actions: tuple[str, ...] = ()


class PolicyBinding(Object, frozen=True, gc=False):
    """A ValidatingAdmissionPolicyBinding."""

    spec: PolicyBindingSpec = PolicyBindingSpec()


def is_generated(policy: Object, installation: str) -> bool:
    """Return whether a policy or binding was generated for the installation in a namespace, or for any."""
    annotations = policy.metadata.annotations
    own = annotations.get(INSTALLATION_LABEL, installation) == installation
    return own and CONFIGURATION_HASH_ANNOTATION in annotations


class Status(_Object, frozen=True, gc=False):
    """The API server's response when there is no object to return.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
    """

    kind: str = ""
    code: int = 0
    message: str = ""
