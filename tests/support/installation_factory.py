"""A healthy installation, built from the shipped manifests, and ways to break it."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from webhook import __version__
from webhook.config.effective import EffectiveConfig
from webhook.config.load import load
from webhook.constants import (
    DEFAULT_NAMESPACE,
    ENABLED_LABEL,
    EXPIRES_ANNOTATION,
    MANAGED_BY_LABEL,
    PROGRAM,
    REFRESHED_ANNOTATION,
    SYSTEM_NAMESPACES,
    InstallationNames,
)
from webhook.diagnostics.doctor.check_rbac import EXCESSIVE, GUARDS, NAMESPACES_GUARD, required_permissions
from webhook.diagnostics.doctor.snapshot import (
    Binding,
    DryRun,
    InstallationSnapshot,
    Lease,
    ProcessStatus,
    Replica,
    Sample,
)
from webhook.kube.objects import (
    Deployment,
    DryRunResult,
    EndpointSlice,
    Event,
    ManagedObject,
    Namespace,
    Pod,
    Secret,
    WebhookConfiguration,
)
from webhook.kubernetes_version import POLICY_MUTATE
from webhook.pki import ca
from webhook.pki.ca import KeyPair
from webhook.readiness import Lease as State
from webhook.readiness import Notice, Readiness, Refresh
from webhook.settings import PullSecretSettings

from .manifest_variants import Objects, Variant

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SERVER = "registry.example.com"
PULL_SECRET = PullSecretSettings().name
PODS = ("registry-webhook-a", "registry-webhook-b")
READY = Readiness(ready=True, lease=State(f"{PODS[0]}_1", leading=True))
#: Namespaces with a pull secret.
SERVED = ("team-a", "team-b")
_T = TypeVar("_T")
_R = "registry_webhook_refresher"


@cache
def signer(number: int = 0) -> KeyPair:
    """Return a CA, a different one for each number."""
    return ca.create_ca(f"authority {number}", NOW - timedelta(days=1000), timedelta(days=5000))


@cache
def serving(age: int = 10, name: str = InstallationNames().hosts[0]) -> KeyPair:
    """Return a key pair valid for 90 days, of which `days` have passed."""
    return ca.sign(signer(), [name], NOW - timedelta(days=age), timedelta(days=90))


def settings(text: str = "", **webhook: object) -> EffectiveConfig:
    document = {"opencti": {"daemon": {"registry": {"server": SERVER}}}, "webhook": webhook}
    loaded = load(text.encode() or msgspec.json.encode(document), "config.yaml", {})
    return EffectiveConfig(loaded.configuration, "config.yaml")


def read(kind: type[_T], manifest: Mapping[str, Any], **more: Any) -> _T:
    return msgspec.convert({**manifest, **more}, kind)


def deployment(replicas: int = 2, variant: str = "certs/self-managed", **status: int) -> Deployment:
    manifest = Objects(Variant(variant)).deployment
    counted = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), replicas)
    return read(Deployment, {**manifest, "spec": {**manifest["spec"], "replicas": replicas}}, status=counted | status)


def calling(bundle: bytes | None = None, variant: str = "certs/self-managed", **fields: Any) -> WebhookConfiguration:
    """Return the shipped webhook configuration with a `caBundle` and changes to its webhook."""
    manifest = Objects(Variant(variant)).only("MutatingWebhookConfiguration")
    encoded = base64.b64encode(signer().certificate if bundle is None else bundle).decode()
    (webhook,) = manifest["webhooks"]
    changed = {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": encoded}, **fields}
    return read(WebhookConfiguration, {**manifest, "webhooks": [changed]})


def namespace(name: str, label: str | None = None) -> Namespace:
    labels = {"kubernetes.io/metadata.name": name} | ({} if label is None else {ENABLED_LABEL: label})
    return read(Namespace, {"metadata": {"name": name, "labels": labels}})


def pull_secret(place: str, **changed: Any) -> ManagedObject:
    annotations = {REFRESHED_ANNOTATION: "2026-11-25T11:00:00Z"}
    metadata = {"name": PULL_SECRET, "namespace": place, "labels": {MANAGED_BY_LABEL: PROGRAM}}
    return read(ManagedObject, {"metadata": {**metadata, "annotations": annotations, **changed}})


def expiring(place: str, at: str) -> ManagedObject:
    return pull_secret(place, annotations={EXPIRES_ANNOTATION: at})


def certificate_secret(pair: KeyPair | None = None) -> Secret:
    pair = pair or serving()
    data = {key: base64.b64encode(text).decode() for key, text in zip(("tls.crt", "tls.key"), pair, strict=True)}
    return read(
        Secret, {"metadata": {"name": "registry-webhook-certificate", "namespace": DEFAULT_NAMESPACE}, "data": data}
    )


def says(container: str, digits: str, state: Readiness | None = READY, **values: float) -> ProcessStatus:
    prefix = "registry_webhook" if container == "webhook" else _R
    samples = [
        Sample("registry_webhook_build_info", {"version": __version__, "revision": "unknown"}, 1),
        Sample(f"{prefix}_configuration_info", {"hash": digits}, 1),
    ]
    samples += [Sample(f"{prefix}_{name}", {}, value) for name, value in values.items()]
    return ProcessStatus(state if container == "refresher" else None, tuple(samples))


def of_version(version: str, status: ProcessStatus) -> ProcessStatus:
    """Return the status of a process of another version."""
    build = Sample("registry_webhook_build_info", {"version": version, "revision": "unknown"}, 1)
    return structs.replace(status, samples=(build, *status.samples[1:]))


def replica(
    name: str, webhook: ProcessStatus | None = None, refresher: ProcessStatus | None = None, **status: Any
) -> Replica:
    digits = settings().digest
    pod = read(Pod, {"metadata": {"name": name, "namespace": DEFAULT_NAMESPACE}, "status": status})
    leading = float(name == PODS[0])
    return Replica(
        pod,
        webhook or says("webhook", digits),
        refresher or says("refresher", digits, leading=leading, credential_refreshed_timestamp_seconds=NOW.timestamp()),
    )


def came(code: str, message: str = "x", *, ready: bool = True) -> Readiness:
    """Return the state of a refresher whose last refresh failed, or that is not ready."""
    last = Refresh("2026-11-25T11:59:00Z", "failure", code, message)
    return structs.replace(READY, ready=ready, last_refresh=last, warnings=(Notice(code, message),))


def refreshers(state: Readiness | None = READY, **values: float) -> tuple[Replica, ...]:
    """Return the status of both replicas, with that of the leader."""
    said = says("refresher", settings().digest, state, leading=1, **values)
    return (replica(PODS[0], refresher=said), replica(PODS[1]))


def pull_event(why: str, image: str = f"{SERVER}/app:1", last: str = "2026-11-25T11:58:00Z", uid: str = "1") -> Event:
    about = {"kind": "Pod", "namespace": "team-a", "name": "app", "uid": uid}
    message = f'Failed to pull image "{image}": {why}'
    return read(Event, {"involvedObject": about, "message": message, "lastTimestamp": last, "reason": "Failed"})


def waiting_pod(  # noqa: PLR0913 - what a test may vary
    message: str = "",
    image: str = f"{SERVER}/app:1",
    reason: str = "ErrImagePull",
    place: str = "team-a",
    *,
    secrets: tuple[str, ...] = (PULL_SECRET,),
    status: str = "containerStatuses",
    **metadata: Any,
) -> Pod:
    """Return a Pod with a container that waits for its image."""
    spec = {
        status.replace("Statuses", "s"): [{"name": "app", "image": image}],
        "imagePullSecrets": [{"name": name} for name in secrets],
    }
    state = {"waiting": {"reason": reason, "message": message}}
    statuses = {status: [{"name": "app", "image": image, "state": state}]}
    return read(
        Pod,
        {
            "metadata": {"name": "app", "namespace": place, "uid": "1", **metadata},
            "spec": spec,
            "status": {"phase": "Pending", **statuses},
        },
    )


def stored(image: str = f"{SERVER}/registry-webhook/sample", *secrets: str) -> dict[str, Any]:
    return {
        "spec": {
            "containers": [{"name": "sample", "image": image}],
            "imagePullSecrets": [{"name": name} for name in secrets],
        }
    }


def tryout(came: Any = None) -> DryRun:
    return DryRun(
        "team-a",
        "registry-webhook/sample",
        came or DryRunResult(stored(f"{SERVER}/registry-webhook/sample", PULL_SECRET)),
    )


def guard_bindings(namespace: str = DEFAULT_NAMESPACE) -> tuple[Binding, ...]:
    return tuple(
        Binding(name, denies=True, parameter=namespace if name == NAMESPACES_GUARD else None) for name in GUARDS
    )


def sound(**changed: Any) -> InstallationSnapshot:
    endpoints = [{"addresses": [f"10.0.0.{number}"], "conditions": {"ready": True}} for number in range(2)]
    labelled = [namespace(name, "true") for name in SERVED]
    rights = dict.fromkeys(required_permissions(PULL_SECRET, manages_certificate=True), True) | dict.fromkeys(
        EXCESSIVE, False
    )
    seen = InstallationSnapshot(
        now=NOW,
        kubernetes=POLICY_MUTATE,
        configuration=settings(),
        sidecar_hash=settings().digest,
        webhook_configuration=calling(),
        deployment=deployment(),
        endpoint_slices=(read(EndpointSlice, {"endpoints": endpoints}),),
        replicas=tuple(replica(name) for name in PODS),
        certificate=certificate_secret(),
        lease=Lease("registry-webhook-a_1", NOW - timedelta(seconds=12), timedelta(seconds=15)),
        namespaces=(*(namespace(name) for name in sorted(SYSTEM_NAMESPACES)), *labelled, namespace("other")),
        pull_secrets=tuple(pull_secret(name) for name in SERVED),
        guards=GUARDS,
        bindings=guard_bindings(),
        permissions=rights,
        dry_run=tryout(),
    )
    return structs.replace(seen, **changed)
