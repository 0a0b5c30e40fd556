"""Kubernetes objects, as far as an inspection reads them: https://kubernetes.io/docs/reference/kubernetes-api/.

They are decoded from the API server's JSON and are encoded as it again. A field that is absent has a default, so none
is None but where the API writes null.
"""

from typing import Any

from msgspec import Struct, field

from webhook.kube.pod import Container, SecretName, Volume

Texts = dict[str, str]


class _Object(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """The base of all."""


class Owner(_Object, frozen=True, gc=False):
    """Who made an object. Whoever writes the object chooses every field; nothing has to exist by that name."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    api_version: str = ""

    @property
    def group(self) -> str:
        """Give the API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]


class Managed(_Object, frozen=True, gc=False):
    """Who applied some of an object's fields: https://kubernetes.io/docs/reference/using-api/server-side-apply/."""

    manager: str = ""
    operation: str = ""
    time: str = ""
    """When one of them changed last, RFC 3339."""
    fields: dict[str, Any] = field(default_factory=dict, name="fieldsV1")


class Metadata(_Object, frozen=True, gc=False):
    """An object's metadata. Times are RFC 3339."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Texts = field(default_factory=dict)
    annotations: Texts = field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()


class ManagedMetadata(Metadata, frozen=True, gc=False):
    """The same with who set what; for Pods that would be more than all the rest."""

    managed_fields: tuple[Managed, ...] = ()

    def changed(self, *path: str) -> str | None:
        """Tell when whoever set a field, `("metadata", "labels", LABEL)`, changed any of theirs last, RFC 3339.

        None where nobody says so. The field itself may have been set before.
        """
        return max((one.time for one in self.managed_fields if _has(one.fields, path)), default=None)

    def managers(self, *path: str) -> frozenset[str]:
        """Return the names of those who set a field, as far as it is known."""
        return frozenset(one.manager for one in self.managed_fields if _has(one.fields, path))


def _has(fields: dict[str, Any], path: tuple[str, ...]) -> bool:
    for name in path:
        below = fields.get(f"f:{name}")
        if not isinstance(below, dict):
            return False
        fields = below
    return True


class Object(_Object, frozen=True, gc=False):
    """An object of which the metadata alone was asked for."""

    metadata: Metadata = Metadata()


class ManagedObject(Object, frozen=True, gc=False):
    """The same with who set what."""

    metadata: ManagedMetadata = ManagedMetadata()


class Namespace(ManagedObject, frozen=True, gc=False):
    """A Namespace."""


class Waiting(_Object, frozen=True, gc=False):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class State(_Object, frozen=True, gc=False):
    """What a container does."""

    waiting: Waiting | None = None
    running: dict[str, Any] | None = None
    terminated: dict[str, Any] | None = None


class ContainerStatus(_Object, frozen=True, gc=False):
    """What the kubelet says of a container."""

    name: str = ""
    image: str = ""
    image_id: str = field(default="", name="imageID")
    ready: bool = False
    restart_count: int = 0
    state: State = State()


class PodSpec(_Object, frozen=True, gc=False):
    """What a Pod is made of."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    image_pull_secrets: tuple[SecretName, ...] = ()
    service_account_name: str = ""
    node_name: str = ""


class PodStatus(_Object, frozen=True, gc=False):
    """What became of a Pod."""

    phase: str = ""
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True, gc=False):
    """A Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Secret(ManagedObject, frozen=True, gc=False):
    """A Secret with its content."""

    type: str = ""
    data: Texts = field(default_factory=dict)
    """Base64."""

    def __repr__(self) -> str:
        """Show nothing of the content."""
        return f"Secret({self.metadata.namespace}/{self.metadata.name})"


class Reference(_Object, frozen=True, gc=False):
    """What an object speaks of."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class Event(Object, frozen=True, gc=False):
    """An Event (v1)."""

    involved_object: Reference = Reference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int | None = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None

    @property
    def last(self) -> str:
        """When it came about last, RFC 3339."""
        return self.last_timestamp or self.event_time or self.metadata.creation_timestamp or ""


class Requirement(_Object, frozen=True, gc=False):
    """A condition on one label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Selector(_Object, frozen=True, gc=False):
    """Conditions on labels, all of which hold for what is selected."""

    match_labels: Texts = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class ServiceReference(_Object, frozen=True, gc=False):
    """The Service that a webhook is called by."""

    namespace: str = ""
    name: str = ""
    path: str = ""
    port: int = 443


class ClientConfig(_Object, frozen=True, gc=False):
    """How a webhook is called."""

    ca_bundle: str = ""
    """PEM, in base64."""
    service: ServiceReference | None = None
    url: str = ""


class Rule(_Object, frozen=True, gc=False):
    """Requests that a webhook is called for."""

    operations: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str = "*"


class Condition(_Object, frozen=True, gc=False):
    """A condition on requests, in CEL."""

    name: str = ""
    expression: str = ""


class Webhook(_Object, frozen=True, gc=False):
    """A webhook of a configuration."""

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
    """A MutatingWebhookConfiguration, or a validating one."""

    webhooks: tuple[Webhook, ...] = ()


class ConfigMap(ManagedObject, frozen=True, gc=False):
    """A ConfigMap."""

    data: Texts = field(default_factory=dict)


class Variable(_Object, frozen=True, gc=False):
    """An environment variable of a container."""

    name: str = ""
    value: str | None = None
    """None where it comes from elsewhere."""


class Port(_Object, frozen=True, gc=False):
    """A port of a container."""

    name: str = ""
    container_port: int = 0


class Process(_Object, frozen=True, gc=False):
    """A container of ours, as its Deployment says it."""

    name: str = ""
    image: str = ""
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    ports: tuple[Port, ...] = ()


class Named(_Object, frozen=True, gc=False):
    """Another object, by its name."""

    name: str = ""


class Mounted(_Object, frozen=True, gc=False):
    """A volume of ours."""

    name: str = ""
    config_map: Named | None = None


class ProcessesSpec(_Object, frozen=True, gc=False):
    """The containers of a Pod of ours."""

    containers: tuple[Process, ...] = ()
    volumes: tuple[Mounted, ...] = ()
    service_account_name: str = ""


class Template(_Object, frozen=True, gc=False):
    """What a Deployment's Pods are made from."""

    metadata: Metadata = Metadata()
    spec: ProcessesSpec = ProcessesSpec()


class DeploymentSpec(_Object, frozen=True, gc=False):
    """What a Deployment is to run."""

    replicas: int = 1
    template: Template = Template()


class DeploymentStatus(_Object, frozen=True, gc=False):
    """What a Deployment runs."""

    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0


class Deployment(Object, frozen=True, gc=False):
    """A Deployment, ours above all."""

    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class Conditions(_Object, frozen=True, gc=False):
    """Whether an endpoint is to be sent anything."""

    ready: bool | None = None


class Endpoint(_Object, frozen=True, gc=False):
    """A place behind a Service."""

    addresses: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    target_ref: Reference | None = None


class EndpointSlice(Object, frozen=True, gc=False):
    """Some of a Service's endpoints."""

    endpoints: tuple[Endpoint, ...] | None = None


class Service(Object, frozen=True, gc=False):
    """A Service."""
