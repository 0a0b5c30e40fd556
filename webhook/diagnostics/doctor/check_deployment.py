"""Whether the webhook runs where the API server calls it, and one of its replicas keeps the pull secrets."""

from collections.abc import Iterator
from datetime import timedelta

from webhook.constants import REFRESHER
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.snapshot import Lease, Said, Seen
from webhook.kube.objects import Deployment
from webhook.kube.unknown import Unknown
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

#: By how much the clock of whoever looks may be ahead of the holder's.
_AHEAD = timedelta(seconds=30)


def deployed(seen: Seen) -> Iterator[Finding]:
    """Look at the Deployment and its rollout."""
    what = "webhook runs"
    deployment = seen.deployment
    place = f"Deployment {seen.names.namespace}/{seen.names.deployment}"
    look = f"kubectl -n {seen.names.namespace} describe pods"
    if isinstance(deployment, Unknown):
        yield wording.unknown(Code.DEPLOY_UNKNOWN, what, deployment)
        return
    if deployment is None:
        yield wording.failure(Code.DEPLOY_MISSING, what, f"there is no {place}: {seen.without_it}", wording.INSTALL)
        return
    wanted, status = deployment.spec.replicas, deployment.status
    if not wanted:
        remedy = f"kubectl -n {seen.names.namespace} scale deployment/{seen.names.deployment} --replicas=2"
        yield wording.failure(Code.DEPLOY_SCALED_DOWN, what, f"{place} is scaled to 0: {seen.without_it}", remedy)
    elif not status.available_replicas:
        why = f"none of {wanted} replicas is available: {seen.without_it}{_reasons(seen)}"
        yield wording.failure(Code.DEPLOY_UNAVAILABLE, what, why, look)
    elif _is_rolled_out(deployment):
        yield wording.ok(
            Code.DEPLOY_OK, what, f"{wording.count(wanted, 'replica is', 'replicas are')} available, and rolled out"
        )
    else:
        counted = (
            f"{status.available_replicas} of {wanted} replicas are available, {status.updated_replicas} of the newest"
        )
        status_of = f"kubectl -n {seen.names.namespace} rollout status deployment/{seen.names.deployment}"
        remedy = f"{status_of}; if it stays so: {look}"
        yield wording.warning(Code.DEPLOY_ROLLOUT, what, f"the rollout is not over: {counted}{_reasons(seen)}", remedy)


def _is_rolled_out(deployment: Deployment) -> bool:
    wanted, status = deployment.spec.replicas, deployment.status
    newest = deployment.metadata.generation <= status.observed_generation
    return newest and status.updated_replicas == status.available_replicas == status.replicas == wanted


def _reasons(seen: Seen) -> str:
    """Say why containers wait."""
    reasons = {
        f"{one.name} {one.state.waiting.reason}"
        for replica in seen.heard
        for one in replica.pod.status.container_statuses
        if one.state.waiting is not None and one.state.waiting.reason
    }
    return f" ({wording.some(reasons)})" if reasons else ""


def reached(seen: Seen) -> Iterator[Finding]:
    """Look whether the Service has somebody behind it."""
    what = "webhook reached"
    if isinstance(seen.slices, Unknown):
        yield wording.unknown(Code.ENDPOINTS_UNKNOWN, what, seen.slices)
        return
    endpoints = [endpoint for one in seen.slices for endpoint in one.endpoints or ()]
    # An endpoint that does not say counts as ready:
    # https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready
    ready = [endpoint for endpoint in endpoints if endpoint.conditions.ready is not False]
    if not ready:
        why = f"no endpoint of the Service {seen.names.namespace}/{seen.names.service} is ready: {seen.without_it}"
        yield wording.failure(
            Code.ENDPOINTS_NONE, what, why, f"kubectl -n {seen.names.namespace} get endpointslices,pods"
        )
        return
    silent = {one.name: str(said) for one in seen.heard for said in one.processes.values() if isinstance(said, Unknown)}
    if silent:
        yield wording.unknown(
            Code.ENDPOINTS_UNKNOWN,
            what,
            f"{wording.some(silent)}: {next(iter(silent.values())).removeprefix('not known: ')}",
        )
    else:
        yield wording.ok(Code.ENDPOINTS_OK, what, f"{wording.of(ready, 'endpoint is', 'endpoints are')} ready")


def led(seen: Seen) -> Iterator[Finding]:
    """Look whether one replica, and no more, is the one that writes."""
    what = "leadership"
    place = f"Lease {seen.names.namespace}/{REFRESHER}"
    if isinstance(seen.lease, Unknown):
        yield wording.unknown(Code.LEASE_UNKNOWN, what, seen.lease)
        return
    leading = [replica.name for replica in seen.heard if _leads(replica.refresher)]
    if len(leading) > 1:
        why = f"{len(leading)} replicas say that they write: {wording.some(leading)}"
        yield wording.failure(
            Code.LEASE_SPLIT, what, why, "look again: one hands over to the next; if it stays so, look at their logs"
        )
    elif seen.lease is None or not seen.lease.holder:
        yield wording.failure(
            Code.LEASE_NONE,
            what,
            f"no replica holds the {place}: nobody writes pull secrets",
            wording.sidecar_log(seen),
        )
    elif _is_gone(seen, seen.lease):
        why = f"{seen.lease.holder} holds the {place} and has not renewed it since {seen.lease.renewed}"
        yield wording.failure(Code.LEASE_EXPIRED, what, f"{why}: nobody writes pull secrets", wording.sidecar_log(seen))
    else:
        yield wording.ok(Code.LEASE_OK, what, f"{seen.lease.holder} holds the Lease")


def _leads(said: Said | Unknown) -> bool:
    return isinstance(said, Said) and said.value("registry_webhook_refresher_leading") == 1


def _is_gone(seen: Seen, lease: Lease) -> bool:
    return lease.renewed is not None and seen.now - lease.renewed > lease.duration + _AHEAD
