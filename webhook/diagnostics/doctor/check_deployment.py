"""Whether the webhook runs where the API server calls it, and one of its replicas writes the pull secrets."""

from collections.abc import Iterator
from datetime import timedelta

from webhook.constants import PROGRAM, REFRESHER
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, Replica
from webhook.diagnostics.remedy import refresher_log, remedy
from webhook.errors import NotReadable
from webhook.kube.objects import Deployment
from webhook.kube.partial import known, known_or
from webhook.kubernetes_version import OLDEST
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import ago, counted, join_names

_DEPLOYMENT, _ENDPOINTS, _LEASE = "Deployment", "Service endpoints", "leader election"
#: Tolerance for a local clock that is ahead of the holder's.
_AHEAD = timedelta(seconds=30)


def check_kubernetes(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report a version of Kubernetes that is too old; the others need no finding."""
    if snapshot.kubernetes and snapshot.kubernetes < OLDEST:
        why = (
            f"the cluster has Kubernetes {snapshot.kubernetes}, and {PROGRAM} supports {OLDEST} or newer: the policies "
            "that limit its ServiceAccount do not exist in it"
        )
        yield wording.error(Code.KUBERNETES_TOO_OLD, "Kubernetes", why, "upgrade the cluster")


@check(_DEPLOYMENT, Code.DEPLOY_UNKNOWN)
def check_deployment(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the Deployment and its rollout."""
    deployment = known(snapshot.deployment)
    names = snapshot.names
    place = f"Deployment {names.namespace}/{names.deployment}"
    about = {"namespace": names.namespace, "kind": "deployment", "name": names.deployment}
    describe = kubectl.line("describe", "pods", namespace=names.namespace)
    if deployment is None:
        why = f"{place} does not exist: {snapshot.outage_effect}"
        yield wording.error(Code.DEPLOY_MISSING, _DEPLOYMENT, why, *wording.reinstall(snapshot))
        return
    wanted, status = deployment.spec.replicas, deployment.status
    if not wanted:
        why = f"{place} is scaled to 0: {snapshot.outage_effect}"
        scale = kubectl.line("scale", "--replicas=2", **about)
        yield wording.error(Code.DEPLOY_SCALED_DOWN, _DEPLOYMENT, why, *remedy("scale it up", scale))
    elif not status.available_replicas:
        number = counted(wanted, "replica is", "replicas are")
        why = f"0 of {number} available: {snapshot.outage_effect}{_reasons(snapshot)}"
        hint = "find the reason in the Events of the Pods"
        yield wording.error(Code.DEPLOY_UNAVAILABLE, _DEPLOYMENT, why, *remedy(hint, describe))
    elif _is_rolled_out(deployment):
        why = f"{counted(wanted, 'replica is', 'replicas are')} available and up to date"
        yield wording.ok(Code.DEPLOY_OK, _DEPLOYMENT, why)
    else:
        why = (
            f"the rollout is not complete: {status.available_replicas} of {counted(wanted, 'replica')} available, "
            f"{status.updated_replicas} up to date{_reasons(snapshot)}"
        )
        hint = "wait for the rollout. If it does not complete, find the reason in the Events of the Pods"
        rollout = kubectl.line("rollout", "status", **about)
        yield wording.warning(Code.DEPLOY_ROLLOUT, _DEPLOYMENT, why, *remedy(hint, rollout, describe))


def _is_rolled_out(deployment: Deployment) -> bool:
    wanted, status = deployment.spec.replicas, deployment.status
    newest = deployment.metadata.generation <= status.observed_generation
    return newest and status.updated_replicas == status.available_replicas == status.replicas == wanted


def _reasons(snapshot: InstallationSnapshot) -> str:
    """Return the reasons for which containers wait, in parentheses."""
    reasons = {
        f"{one.name} {one.state.waiting.reason}"
        for replica in snapshot.replicas_or_empty
        for one in replica.pod.status.container_statuses
        if one.state.waiting is not None and one.state.waiting.reason
    }
    return f" ({join_names(reasons)})" if reasons else ""


@check(_ENDPOINTS, Code.ENDPOINTS_UNKNOWN)
def check_endpoints(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that the Service has ready endpoints."""
    endpoints = [endpoint for one in known(snapshot.endpoint_slices) for endpoint in one.endpoints or ()]
    # Unknown counts as ready:
    # https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#ready
    ready = [endpoint for endpoint in endpoints if endpoint.conditions.ready is not False]
    if not ready:
        service = f"{snapshot.names.namespace}/{snapshot.names.service}"
        why = f"Service {service} has no ready endpoint: {snapshot.outage_effect}"
        get = kubectl.line("get", "endpointslices,pods", namespace=snapshot.names.namespace)
        yield wording.error(Code.ENDPOINTS_NONE, _ENDPOINTS, why, *remedy("find the Pods that are not ready", get))
        return
    silent = {
        one.name: status.reason
        for one in snapshot.replicas_or_empty
        for status in (one.webhook, one.refresher)
        if isinstance(status, NotReadable)
    }
    if silent:
        raise NotReadable(f"{join_names(silent)}: {next(iter(silent.values()))}")
    yield wording.ok(Code.ENDPOINTS_OK, _ENDPOINTS, f"{counted(len(ready), 'endpoint is', 'endpoints are')} ready")


@check(_LEASE, Code.LEASE_UNKNOWN)
def check_lease(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check that exactly one replica writes."""
    place = f"Lease {snapshot.names.namespace}/{REFRESHER}"
    lease = known(snapshot.lease)
    leading = [replica.name for replica in snapshot.replicas_or_empty if _leads(replica)]
    see_log = refresher_log(snapshot.names.namespace)
    if len(leading) > 1:
        why = f"{len(leading)} replicas report that they are the leader: {join_names(leading)}"
        hint = "run doctor again, because the leader may have changed. If this stays, check the logs of the refreshers"
        yield wording.error(Code.LEASE_SPLIT, _LEASE, why, *refresher_log(snapshot.names.namespace, hint))
    elif lease is None or not lease.holder:
        why = f"no replica holds {place}, so no pull secrets are written"
        yield wording.error(Code.LEASE_NONE, _LEASE, why, *see_log)
    elif lease.renewed is not None and snapshot.now - lease.renewed > lease.duration + _AHEAD:
        age = ago((snapshot.now - lease.renewed).total_seconds())
        why = f"{lease.holder} holds {place} and last renewed it {age}, so no pull secrets are written"
        yield wording.error(Code.LEASE_EXPIRED, _LEASE, why, *see_log)
    else:
        yield wording.ok(Code.LEASE_OK, _LEASE, f"{lease.holder} is the leader")


def _leads(replica: Replica) -> bool:
    status = known_or(replica.refresher, None)
    return status is not None and status.value("registry_webhook_refresher_leading") == 1
