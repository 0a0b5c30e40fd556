"""Reading an installation from end to end, with a person's rights and without writing anything."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from webhook import readiness
from webhook.config.effective import EffectiveConfig
from webhook.config.load import Loaded
from webhook.constants import CERTIFICATE, PROGRAM, InstallationNames
from webhook.constants import REFRESHER as LEASE
from webhook.diagnostics import sample_pod, waiting
from webhook.diagnostics.doctor import check_rbac, check_webhook_config
from webhook.diagnostics.doctor.check_certificates import TLS_SECRET
from webhook.diagnostics.doctor.snapshot import (
    REFRESHER,
    WEBHOOK,
    Binding,
    DryRun,
    InstallationSnapshot,
    InvalidConfig,
    Lease,
    Permission,
    ProcessStatus,
    Replica,
    Sample,
)
from webhook.errors import ConfigurationError
from webhook.kube import installed_config
from webhook.kube.installed_config import InstalledObjects
from webhook.kube.objects import Deployment, Event, Object, Pod, Secret
from webhook.kube.reader import (
    ENDPOINT_SLICES,
    EVENTS,
    MUTATING_POLICIES,
    NAMESPACES,
    PODS,
    SECRET_CONTENTS,
    SECRETS,
    VALIDATING_BINDINGS,
    VALIDATING_POLICIES,
    WEBHOOKS,
    Reader,
    Resource,
)
from webhook.kube.unknown import Unknown
from webhook.pull_secret.manifest import TYPE

_Json = dict[str, Any]
_OURS = f"app.kubernetes.io/name={PROGRAM}"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_LEASES = Resource("Leases", "/apis/coordination.k8s.io/v1", "leases", _Json)
_BINDINGS = Resource(VALIDATING_BINDINGS.display_name, VALIDATING_BINDINGS.group, VALIDATING_BINDINGS.plural, _Json)
#: Where the processes answer in the clear: the name of the container's port, and its number where it is not named.
_PORTS = {WEBHOOK: ("health", 8080), REFRESHER: ("refresh-health", 8081)}
#: Up to so many namespaces are read one by one, more in one list of the cluster.
_FEW = 20
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
#: Questions that are asked at once.
_AT_ONCE = 8


def collect(
    reader: Reader, names: InstallationNames, settings: EffectiveConfig | None, now: datetime
) -> InstallationSnapshot:
    """Read all that the checks look at, at `now` (aware); `settings` stand in for the installation's own."""
    parts = installed_config.read_objects(reader, names)
    configuration = _configuration(parts) if settings is None else settings
    called = reader.get(WEBHOOKS, names.configuration)
    snapshot = InstallationSnapshot(
        now=now,
        names=names,
        configuration=configuration,
        sidecar_hash=_sidecar_hash(parts) if settings is None else None,
        webhook_configuration=called,
        deployment=parts.deployment,
        endpoint_slices=reader.list(
            ENDPOINT_SLICES, names.namespace, labels=f"kubernetes.io/service-name={names.service}"
        ),
        replicas=_replicas(reader, parts),
        lease=_lease(reader, names.namespace),
        namespaces=reader.list(NAMESPACES),
        guards=_names(reader.list(VALIDATING_POLICIES)),
        bindings=_bindings(reader),
        policies=_policies(reader),
    )
    return _add_details(reader, snapshot)


def _add_details(reader: Reader, snapshot: InstallationSnapshot) -> InstallationSnapshot:
    """Read what depends on what was read."""
    settings = snapshot.configuration if isinstance(snapshot.configuration, EffectiveConfig) else None
    pull_secret = settings.mutator.pull_secret if settings else None
    named = f"metadata.name={pull_secret}"
    waiting_pods = _waiting_pods(reader, snapshot)
    wanted = (
        *check_rbac.required_permissions(
            pull_secret, manages_certificate=snapshot.manages_certificate, names=snapshot.names
        ),
        *check_rbac.EXCESSIVE,
    )
    return structs.replace(
        snapshot,
        certificate=_certificate(reader, snapshot),
        pull_secrets=reader.list(SECRETS, fields=named) if pull_secret else (),
        wrong_type_secrets=reader.list(SECRETS, fields=f"{named},type!={TYPE}") if pull_secret else (),
        permissions=_permissions(reader, snapshot.names, wanted),
        waiting_pods=waiting_pods,
        pull_events=_pull_events(reader, waiting_pods),
        dry_run=_dry_run(reader, snapshot, settings) if settings else None,
    )


def _certificate(reader: Reader, snapshot: InstallationSnapshot) -> Secret | Unknown | None:
    """Read the Secret of the certificate; which it is, the Deployment says."""
    if not isinstance(snapshot.deployment, Deployment):
        return snapshot.deployment or Unknown("there is no Deployment that would say which Secret it is in")
    return reader.get(
        SECRET_CONTENTS, CERTIFICATE if snapshot.manages_certificate else TLS_SECRET, snapshot.names.namespace
    )


def _configuration(objects: InstalledObjects) -> EffectiveConfig | InvalidConfig | Unknown:
    try:
        found = installed_config.load_config(objects)
    except ConfigurationError as error:
        return InvalidConfig(tuple(map(str, error.issues)))
    if isinstance(found, Loaded):
        return EffectiveConfig(found.configuration, objects.origin)
    # What is not there is no less broken than what cannot be understood.
    absent = objects.config_map is None or not isinstance(objects.config_map, Unknown | None)
    return InvalidConfig((found.why,)) if absent and not isinstance(objects.deployment, Unknown) else found


def _sidecar_hash(objects: InstalledObjects) -> str | None:
    try:
        found = installed_config.load_config(objects, installed_config.REFRESHER)
    except ConfigurationError:
        return None
    return None if isinstance(found, Unknown) else found.configuration.digest


def _replicas(reader: Reader, objects: InstalledObjects) -> tuple[Replica, ...] | Unknown:
    deployment = objects.deployment
    labelled = deployment.spec.template.metadata.labels if isinstance(deployment, Deployment) else {}
    labels = ",".join(f"{key}={value}" for key, value in labelled.items())
    pods = reader.list(PODS, objects.names.namespace, labels=labels or _OURS)
    if isinstance(pods, Unknown):
        return pods
    ports = {container: _port(deployment, container) for container in _PORTS}
    staying = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    return tuple(
        Replica(
            pod,
            _process_status(reader, pod, ports[WEBHOOK]),
            _process_status(reader, pod, ports[REFRESHER], describes_itself=True),
        )
        for pod in staying
    )


def _port(deployment: Deployment | Unknown | None, container: str) -> int:
    name, number = _PORTS[container]
    if not isinstance(deployment, Deployment):
        return number
    processes = deployment.spec.template.spec.containers
    ports = {port.name: port.container_port for process in processes for port in process.ports}
    return ports.get(name, number)


def _process_status(reader: Reader, pod: Pod, port: int, *, describes_itself: bool = False) -> ProcessStatus | Unknown:
    """Ask a process what it says of itself."""
    name = pod.metadata.name
    metrics = reader.get_from_pod(pod.metadata.namespace, name, port, "/metrics")
    if isinstance(metrics, Unknown):
        return metrics
    samples = _samples(metrics.decode(errors="replace"))
    if not describes_itself:
        return ProcessStatus(samples=samples)
    state = reader.get_from_pod(pod.metadata.namespace, name, port, "/readyz", accept=readiness.JSON)
    return state if isinstance(state, Unknown) else ProcessStatus(readiness.decode(state), samples)


def _samples(exposition: str) -> tuple[Sample, ...]:
    """Read what is written for Prometheus; what is none has no samples."""
    try:
        families = list(text_string_to_metric_families(exposition))
    except ValueError:
        return ()
    return tuple(Sample(one.name, one.labels, one.value) for family in families for one in family.samples)


def _lease(reader: Reader, namespace: str) -> Lease | Unknown | None:
    found = reader.get(_LEASES, LEASE, namespace)
    if found is None or isinstance(found, Unknown):
        return found
    spec = found.get("spec", {})
    renewed = spec.get("renewTime")
    duration = timedelta(seconds=spec.get("leaseDurationSeconds") or 0)
    return Lease(spec.get("holderIdentity") or "", datetime.fromisoformat(renewed) if renewed else None, duration)


def _names(objects: tuple[Object, ...] | Unknown) -> tuple[str, ...] | Unknown:
    return objects if isinstance(objects, Unknown) else tuple(one.metadata.name for one in objects)


def _bindings(reader: Reader) -> tuple[Binding, ...] | Unknown:
    found = reader.list(_BINDINGS)
    if isinstance(found, Unknown):
        return found
    specs = [one.get("spec", {}) for one in found]
    return tuple(Binding(spec.get("policyName", ""), "Deny" in spec.get("validationActions", ())) for spec in specs)


def _policies(reader: Reader) -> tuple[Object, ...] | Unknown:
    mutating, validating = reader.list(MUTATING_POLICIES), reader.list(VALIDATING_POLICIES)
    if isinstance(mutating, Unknown):
        return mutating
    return validating if isinstance(validating, Unknown) else (*mutating, *validating)


def _permissions(
    reader: Reader, names: InstallationNames, wanted: tuple[Permission, ...]
) -> Mapping[Permission, bool | Unknown]:
    """Ask for each of them whether the sidecar's account has it."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(wanted, pool.map(lambda right: _is_granted(reader, names, right), wanted), strict=True))


def _is_granted(reader: Reader, names: InstallationNames, permission: Permission) -> bool | Unknown:
    user = f"system:serviceaccount:{names.namespace}:{names.service_account}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{names.namespace}", "system:authenticated"]
    attributes = {"verb": permission.verb, "group": permission.group, "resource": permission.resource}
    attributes |= {"name": permission.name, "namespace": permission.namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = reader.create(_REVIEWS, body, "ask for the account's rights")
    return answer if isinstance(answer, Unknown) else bool(answer.get("status", {}).get("allowed"))


def _waiting_pods(reader: Reader, snapshot: InstallationSnapshot) -> tuple[Pod, ...] | Unknown:
    """Find the Pods with a container that waits for its image, where they count."""
    names = (snapshot.names.namespace, *(one.metadata.name for one in check_webhook_config.check_namespaces(snapshot)))
    found: list[Pod] = []
    for scope in names if len(names) <= _FEW else (None,):
        listed = reader.list(PODS, scope, fields=_UNFINISHED, keep=_waits)
        if isinstance(listed, Unknown):
            return listed
        found += listed
    return tuple(found)


def _waits(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and any(waiting.failed_pulls(pod))


def _pull_events(reader: Reader, pods: tuple[Pod, ...] | Unknown) -> tuple[Event, ...] | Unknown:
    """Read what Events say of them, for their words."""
    if isinstance(pods, Unknown):
        return ()
    found: list[Event] = []
    for namespace in sorted({pod.metadata.namespace for pod in pods})[:_FEW]:
        listed = reader.list(EVENTS, namespace, fields="reason=Failed,involvedObject.kind=Pod")
        if isinstance(listed, Unknown):
            return listed
        found += listed
    return tuple(found)


def _dry_run(reader: Reader, snapshot: InstallationSnapshot, settings: EffectiveConfig) -> DryRun | None:
    """Try a Pod in the first namespace that is served, if there is an image that would be rewritten."""
    image = sample_pod.image(settings)
    served = sorted(one.metadata.name for one in check_webhook_config.check_namespaces(snapshot))
    if not served or image is None:
        return None
    return DryRun(served[0], image, reader.dry_run_create(sample_pod.manifest(image), served[0]))
