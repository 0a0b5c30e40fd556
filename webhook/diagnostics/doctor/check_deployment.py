"""Whether the webhook runs where the API server calls it, and one of its replicas maintains the pull secrets."""

from collections.abc import Iterator
from datetime import timedelta

from webhook.constants import REFRESHER
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, Lease, Replica
from webhook.errors import NotReadable
from webhook.kube.objects import Deployment
from webhook.kube.partial import known, known_or
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding

#: Tolerance for a local clock that is ahead of the holder's.
_AHEAD = timedelta(seconds=30)


@check("webhook runs", Code.DEPLOY_UNKNOWN)
def check_deployment(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the Deployment and its rollout."""
    what = "webhook runs"
    deployment = known(snapshot.deployment)
    place = f"Deployment {snapshot.names.namespace}/{snapshot.names.deployment}"
    look = f"kubectl -n {snapshot.names.namespace} describe pods"
    if deployment is None:
        yield wording.error(
            Code.DEPLOY_MISSING, what, f"there is no {place}: {snapshot.outage_effect}", wording.INSTALL
        )
        return
    wanted, status = deployment.spec.replicas, deployment.status
    if not wanted:
        remedy = f"kubectl -n {snapshot.names.namespace} scale deployment/{snapshot.names.deployment} --replicas=2"
        yield wording.error(Code.DEPLOY_SCALED_DOWN, what, f"{place} is scaled to 0: {snapshot.outage_effect}", remedy)
    elif not status.available_replicas:
        why = f"none of {wanted} replicas is available: {snapshot.outage_effect}{_reasons(snapshot)}"
        yield wording.error(Code.DEPLOY_UNAVAILABLE, what, why, look)
    elif _is_rolled_out(deployment):
        yield wording.ok(
            Code.DEPLOY_OK, what, f"{wording.count(wanted, 'replica is', 'replicas are')} available, and rolled out"
        )
    else:
        counted = (
            f"{status.available_replicas} of {wanted} replicas are available, {status.updated_replicas} of the newest"
        )
        status_of = f"kubectl -n {snapshot.names.namespace} rollout status deployment/{snapshot.names.deployment}"
        remedy = f"{status_of}; if it stays so: {look}"
        yield wording.warning(
            Code.DEPLOY_ROLLOUT, what, f"the rollout is not over: {counted}{_reasons(snapshot)}", remedy
        )


def _is_rolled_out(deployment: Deployment) -> bool:
    wanted, status = deployment.spec.replicas, deployment.status
    newest = deployment.metadata.generation <= status.observed_generation
    return newest and status.updated_replicas == status.available_replicas == status.replicas == wanted


def _reasons(snapshot: InstallationSnapshot) -> str:
    """Return why containers wait, in parentheses."""
    reasons = {
        f"{one.name} {one.state.waiting.reason}"
        for replica in snapshot.replicas_or_empty
        for one in replica.pod.status.container_statuses
        if one.state.waiting is not None and one.state.waiting.reason
    }
    return f" ({wording.join_names(reasons)})" if reasons else ""


@check("webhook reached", Code.ENDPOINTS_UNKNOWN)
def check_endpoints(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the Service has ready endpoints."""
    what = "webhook reached"
    endpoints = [endpoint for one in known(snapshot.endpoint_slices) for endpoint in one.endpoints or ()]
    # Unknown counts as ready:
    # https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready
    ready = [endpoint for endpoint in endpoints if endpoint.conditions.ready is not False]
    if not ready:
        service = f"{snapshot.names.namespace}/{snapshot.names.service}"
        why = f"no endpoint of the Service {service} is ready: {snapshot.outage_effect}"
        yield wording.error(
            Code.ENDPOINTS_NONE, what, why, f"kubectl -n {snapshot.names.namespace} get endpointslices,pods"
        )
        return
    silent = {
        one.name: status.reason
        for one in snapshot.replicas_or_empty
        for status in (one.webhook, one.refresher)
        if isinstance(status, NotReadable)
    }
    if silent:
        raise NotReadable(f"{wording.join_names(silent)}: {next(iter(silent.values()))}")
    yield wording.ok(Code.ENDPOINTS_OK, what, f"{wording.count_of(ready, 'endpoint is', 'endpoints are')} ready")


@check("leadership", Code.LEASE_UNKNOWN)
def check_lease(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that exactly one replica writes."""
    what = "leadership"
    place = f"Lease {snapshot.names.namespace}/{REFRESHER}"
    lease = known(snapshot.lease)
    leading = [replica.name for replica in snapshot.replicas_or_empty if _leads(replica)]
    if len(leading) > 1:
        why = f"{len(leading)} replicas say that they write: {wording.join_names(leading)}"
        yield wording.error(
            Code.LEASE_SPLIT, what, why, "look again: one hands over to the next; if it stays so, look at their logs"
        )
    elif lease is None or not lease.holder:
        yield wording.error(
            Code.LEASE_NONE,
            what,
            f"no replica holds the {place}: nobody writes pull secrets",
            wording.sidecar_log(snapshot),
        )
    elif _is_gone(snapshot, lease):
        why = f"{lease.holder} holds the {place} and has not renewed it since {lease.renewed}"
        yield wording.error(
            Code.LEASE_EXPIRED, what, f"{why}: nobody writes pull secrets", wording.sidecar_log(snapshot)
        )
    else:
        yield wording.ok(Code.LEASE_OK, what, f"{lease.holder} holds the Lease")


def _leads(replica: Replica) -> bool:
    status = known_or(replica.refresher, None)
    return status is not None and status.value("registry_webhook_refresher_leading") == 1


def _is_gone(snapshot: InstallationSnapshot, lease: Lease) -> bool:
    return lease.renewed is not None and snapshot.now - lease.renewed > lease.duration + _AHEAD
