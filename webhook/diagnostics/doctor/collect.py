"""Reads an installation with the user's permissions. Nothing is written."""

import posixpath
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from webhook import readiness
from webhook.config.effective import EffectiveConfig
from webhook.constants import CERTIFICATE, PROGRAM, InstallationNames
from webhook.constants import REFRESHER as LEASE
from webhook.diagnostics import sample_pod, waiting
from webhook.diagnostics.doctor import check_rbac
from webhook.diagnostics.doctor.check_certificates import TLS_SECRET
from webhook.diagnostics.doctor.snapshot import (
    Binding,
    CredentialSecret,
    DryRun,
    InstallationSnapshot,
    InvalidConfig,
    Lease,
    Permission,
    ProcessStatus,
    Replica,
    Sample,
)
from webhook.diagnostics.namespaces import scopes
from webhook.diagnostics.webhook_match import find_webhook
from webhook.errors import ClusterError, ConfigurationError, NotReadable
from webhook.kube import installed_config, objects
from webhook.kube.installed_config import REFRESHER, WEBHOOK, InstalledObjects
from webhook.kube.objects import Deployment, Event, Pod, PolicyBinding, Secret, WebhookConfiguration
from webhook.kube.partial import attempt, known, known_or
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
from webhook.kubernetes_version import KubernetesVersion
from webhook.pull_secret.manifest import TYPE

_OURS = f"app.kubernetes.io/name={PROGRAM}"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_LEASES = Resource("Leases", "/apis/coordination.k8s.io/v1", "leases", objects.Lease)
_BINDINGS = Resource(
    VALIDATING_BINDINGS.display_name, VALIDATING_BINDINGS.group, VALIDATING_BINDINGS.plural, PolicyBinding
)
#: The plain HTTP port of each process: the container port's name, and the number if no port has that name.
_PORTS = {WEBHOOK: ("health", 8080), REFRESHER: ("refresh-health", 8081)}
#: Limit of namespaces whose Events are listed.
_FEW = 20
_UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
#: Concurrent SubjectAccessReviews.
_CONCURRENCY = 8


def collect(
    reader: Reader, names: InstallationNames, settings: EffectiveConfig | None, now: datetime
) -> InstallationSnapshot:
    """Read what the checks need, at `now` (aware). `settings` replace the installation's configuration."""
    installed = installed_config.read_objects(reader, names)
    service = f"kubernetes.io/service-name={names.service}"
    mutating = attempt(reader.list, MUTATING_POLICIES)
    validating = attempt(reader.list, VALIDATING_POLICIES)
    snapshot = InstallationSnapshot(
        now=now,
        names=names,
        kubernetes=_kubernetes(reader),
        configuration=attempt(_configuration, installed) if settings is None else settings,
        sidecar_hash=_refresher_hash(installed) if settings is None else None,
        webhook_configuration=attempt(reader.get, WEBHOOKS, names.configuration),
        other_configurations=attempt(_other_configurations, reader, names),
        deployment=installed.deployment,
        endpoint_slices=attempt(reader.list, ENDPOINT_SLICES, names.namespace, labels=service),
        replicas=attempt(replicas, reader, installed),
        lease=attempt(_lease, reader, names.namespace),
        credential_secret=attempt(_credential_secret, reader, installed),
        namespaces=attempt(reader.list, NAMESPACES),
        guards=attempt(lambda: tuple(one.metadata.name for one in known(validating))),
        bindings=attempt(_bindings, reader),
        policies=attempt(lambda: (*known(mutating), *known(validating))),
    )
    return _add_details(reader, snapshot)


def _kubernetes(reader: Reader) -> KubernetesVersion | None:
    """Return the API server's version; None if it could not be read, because the other checks do not need it."""
    try:
        return KubernetesVersion.parse(reader.version())
    except ClusterError:
        return None


def _add_details(reader: Reader, snapshot: InstallationSnapshot) -> InstallationSnapshot:
    """Read the parts that depend on those that were read."""
    settings = snapshot.configuration if isinstance(snapshot.configuration, EffectiveConfig) else None
    pull_secret = settings.mutator.pull_secret if settings else None
    named = f"metadata.name={pull_secret}"
    waiting_pods = attempt(_waiting_pods, reader, snapshot)
    permissions = (
        *check_rbac.required_permissions(
            pull_secret, manages_certificate=snapshot.manages_certificate, names=snapshot.names
        ),
        *check_rbac.EXCESSIVE,
    )
    return structs.replace(
        snapshot,
        certificate=attempt(_certificate, reader, snapshot),
        pull_secrets=attempt(reader.list, SECRETS, fields=named) if pull_secret else (),
        wrong_type_secrets=attempt(reader.list, SECRETS, fields=f"{named},type!={TYPE}") if pull_secret else (),
        permissions=_permissions(reader, snapshot.names, permissions),
        waiting_pods=waiting_pods,
        # Events only add details to the status of Pods, so they may be missing.
        pull_events=known_or(attempt(_pull_events, reader, known_or(waiting_pods, ())), ()),
        dry_run=_dry_run(reader, snapshot, settings) if settings else None,
    )


def _other_configurations(reader: Reader, names: InstallationNames) -> tuple[WebhookConfiguration, ...]:
    every = reader.list(WEBHOOKS)
    return tuple(one for one in every if one.metadata.name != names.configuration and find_webhook(one))


def _certificate(reader: Reader, snapshot: InstallationSnapshot) -> Secret | None:
    if known(snapshot.deployment) is None:
        raise NotReadable("the Deployment, which names the certificate's Secret, does not exist")
    name = CERTIFICATE if snapshot.manages_certificate else TLS_SECRET
    return reader.get(SECRET_CONTENTS, name, snapshot.names.namespace)


def _configuration(installed: InstalledObjects) -> EffectiveConfig | InvalidConfig:
    try:
        return EffectiveConfig(installed_config.load_config(installed).configuration, installed.origin)
    except ConfigurationError as error:
        return InvalidConfig(tuple(map(str, error.issues)), tuple(issue.hint for issue in error.issues))
    except NotReadable as error:
        if isinstance(installed.config_map, NotReadable) or isinstance(installed.deployment, NotReadable):
            raise
        # A configuration that does not exist is as invalid as one that cannot be parsed.
        return InvalidConfig((error.reason,))


def _refresher_hash(installed: InstalledObjects) -> str | None:
    try:
        return installed_config.load_config(installed, REFRESHER).configuration.digest
    except (ConfigurationError, NotReadable):
        return None


def _credential_secret(reader: Reader, installed: InstalledObjects) -> CredentialSecret | None:
    """Return the Secret whose keys the refresher reads as files, by the metadata alone: no value is read."""
    try:
        credential = installed_config.load_config(installed, REFRESHER).configuration.webhook.credential
    except ConfigurationError:
        return None
    deployment = known(installed.deployment)
    files = [file for file in (credential.username_file, credential.file, credential.docker_config) if file]
    mounted = [_secret_key(deployment, PurePosixPath(posixpath.normpath(file))) for file in files] if deployment else []
    names = {one.name for one in mounted if one is not None}
    if len(names) != 1 or None in mounted:
        return None
    (name,) = names
    found = reader.get(SECRETS, name, installed.names.namespace)
    keys, is_of_release = None, False
    if found is not None:
        is_of_release = bool(installed_config.release_of(found.metadata))
        if not found.metadata.managed_fields:
            raise NotReadable(f"the keys of Secret {installed.names.namespace}/{name} are not recorded in its metadata")
        keys = tuple(sorted(found.metadata.names_below("data") | found.metadata.names_below("stringData")))
    return CredentialSecret(name, tuple(one.key for one in mounted if one is not None), keys, is_of_release)


class _SecretKey(NamedTuple):
    """A key of a Secret that is mounted as a file."""

    name: str
    """The Secret's name."""
    key: str


def _secret_key(deployment: Deployment, file: PurePosixPath) -> _SecretKey | None:
    """Return the key that the refresher reads a file from; None if the file is not mounted from a Secret."""
    template = deployment.spec.template.spec
    volumes = {one.name: one.secret for one in template.volumes}
    mounts = [mount for one in template.containers if one.name == REFRESHER for mount in one.volume_mounts]
    for mount in mounts:
        secret = volumes.get(mount.name)
        if secret is not None and file.is_relative_to(mount.mount_path):
            path = str(file.relative_to(mount.mount_path))
            keys = {item.path: item.key for item in secret.items}
            return _SecretKey(secret.secret_name, keys.get(path, path))
    return None


def replicas(reader: Reader, installed: InstalledObjects) -> tuple[Replica, ...]:
    """Read the Pods of an installation, and the metrics and states of their processes. Raises `NotReadable`."""
    deployment = known_or(installed.deployment, None)
    labels = deployment.spec.template.metadata.labels if deployment else {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items()) or _OURS
    pods = reader.list(PODS, installed.names.namespace, labels=selector)
    webhook_port, refresher_port = (_port(deployment, container) for container in (WEBHOOK, REFRESHER))
    return tuple(
        Replica(
            pod,
            attempt(_process_status, reader, pod, webhook_port),
            attempt(_process_status, reader, pod, refresher_port, describes_itself=True),
        )
        for pod in pods
        if pod.metadata.deletion_timestamp is None
    )


def _port(deployment: Deployment | None, container: str) -> int:
    name, number = _PORTS[container]
    containers = deployment.spec.template.spec.containers if deployment else ()
    ports = {port.name: port.container_port for one in containers for port in one.ports}
    return ports.get(name, number)


def _process_status(reader: Reader, pod: Pod, port: int, *, describes_itself: bool = False) -> ProcessStatus:
    namespace, name = pod.metadata.namespace, pod.metadata.name
    found = samples(reader.get_from_pod(namespace, name, port, "/metrics").decode(errors="replace"))
    if not describes_itself:
        return ProcessStatus(samples=found)
    state = reader.get_from_pod(namespace, name, port, "/readyz", accept=readiness.JSON)
    return ProcessStatus(readiness.decode(state), found)


def samples(exposition: str) -> tuple[Sample, ...]:
    """Parse the Prometheus text format; anything else has no samples."""
    try:
        families = list(text_string_to_metric_families(exposition))
    except ValueError:
        return ()
    return tuple(Sample(one.name, one.labels, one.value) for family in families for one in family.samples)


def _lease(reader: Reader, namespace: str) -> Lease | None:
    found = reader.get(_LEASES, LEASE, namespace)
    if found is None:
        return None
    spec = found.spec
    renewed = datetime.fromisoformat(spec.renew_time) if spec.renew_time else None
    return Lease(spec.holder_identity or "", renewed, timedelta(seconds=spec.lease_duration_seconds or 0))


def _bindings(reader: Reader) -> tuple[Binding, ...]:
    specs = (one.spec for one in reader.list(_BINDINGS))
    return tuple(Binding(one.policy_name, "Deny" in one.validation_actions, one.param_ref.name) for one in specs)


def _permissions(
    reader: Reader, names: InstallationNames, permissions: tuple[Permission, ...]
) -> Mapping[Permission, bool | NotReadable]:
    """Ask for each of them whether the refresher's ServiceAccount has it."""
    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        granted = pool.map(lambda one: attempt(_is_granted, reader, names, one), permissions)
        return dict(zip(permissions, granted, strict=True))


def _is_granted(reader: Reader, names: InstallationNames, permission: Permission) -> bool:
    user = f"system:serviceaccount:{names.namespace}:{names.service_account}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{names.namespace}", "system:authenticated"]
    attributes = {"verb": permission.verb, "group": permission.group, "resource": permission.resource}
    attributes |= {"name": permission.name, "namespace": permission.namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = reader.create(_REVIEWS, body, "check the permissions of the ServiceAccount")
    return bool(answer.get("status", {}).get("allowed"))


def _waiting_pods(reader: Reader, snapshot: InstallationSnapshot) -> tuple[Pod, ...]:
    """List the Pods with a container that waits for its image, in selected namespaces and the installation's own."""
    names = (snapshot.names.namespace, *(one.metadata.name for one in snapshot.selected_namespaces))
    listed = scopes(names, whole=False)
    return tuple(pod for scope in listed for pod in reader.list(PODS, scope, fields=_UNFINISHED, keep=_waits))


def _waits(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and any(waiting.failed_pulls(pod))


def _pull_events(reader: Reader, pods: tuple[Pod, ...]) -> tuple[Event, ...]:
    """List the Events about failures in the namespaces of Pods."""
    namespaces = sorted({pod.metadata.namespace for pod in pods})[:_FEW]
    fields = "reason=Failed,involvedObject.kind=Pod"
    return tuple(event for namespace in namespaces for event in reader.list(EVENTS, namespace, fields=fields))


def _dry_run(reader: Reader, snapshot: InstallationSnapshot, settings: EffectiveConfig) -> DryRun | None:
    """Try a Pod in the first selected namespace, if the configuration rewrites any of the sample images."""
    image = sample_pod.image(settings)
    namespace = min((one.metadata.name for one in snapshot.selected_namespaces), default=None)
    if namespace is None or image is None:
        return None
    return DryRun(namespace, image, attempt(reader.dry_run_create, sample_pod.manifest(image), namespace))
