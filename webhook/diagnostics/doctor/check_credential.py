"""What the refreshers report about the credential and about themselves. The credential itself is not read."""

from collections.abc import Iterator
from datetime import UTC, datetime

from webhook.config.effective import EffectiveConfig
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot, ProcessStatus
from webhook.errors import NotReadable
from webhook.kube.installed_config import REFRESHER
from webhook.kube.partial import known, known_or
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.readiness import Code as State
from webhook.readiness import Notice, Readiness

_WHAT = "credential"
_PREFIX = "registry_webhook_refresher_"
#: States that the check of the credential reports.
_OF_CREDENTIAL = frozenset(
    {
        State.PROVIDER_FAILED,
        State.REGISTRY_UNAVAILABLE,
        State.CREDENTIAL_REFUSED,
        State.CLUSTER_UNAVAILABLE,
        State.REFRESH_PENDING,
        State.NOT_PUBLISHED,
        State.CREDENTIAL_EXPIRED,
    }
)
#: States that other checks report.
_CHECKED_ELSEWHERE = _OF_CREDENTIAL | {State.CONFIGURATION_INVALID, State.FOREIGN_SECRET}


def _change(snapshot: InstallationSnapshot) -> str:
    place = f"Secret {snapshot.names.namespace}/registry-webhook-credential"
    return f"put the right one into {place}, or wherever webhook.credential has it from: it is looked at every second"


@check(_WHAT, Code.CREDENTIAL_UNKNOWN)
def check_credential(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the last refresh, as the leader reports it if it is known."""
    if isinstance(snapshot.configuration, EffectiveConfig):
        if snapshot.configuration.server is None:
            return
        if snapshot.configuration.mutator.pull_secret is None:
            yield wording.ok(
                Code.CREDENTIAL_DISABLED, _WHAT, "no pull secret is made: webhook.pull_secret.enabled is false"
            )
            return
    replicas = known(snapshot.replicas)
    status = leader_status(snapshot)
    if status is None:
        for replica in replicas:
            known(replica.refresher)
        raise NotReadable("no sidecar runs that could be asked")
    yield _of_refresh(snapshot, status)


def leader_status(snapshot: InstallationSnapshot) -> ProcessStatus | None:
    """Return the status of the leader, or else of a refresher with a refused credential, or else of any."""
    statuses = (replica.statuses.get(REFRESHER) for replica in snapshot.replicas_or_empty)
    return max(filter(None, statuses), key=_weight, default=None)


def _weight(status: ProcessStatus) -> tuple[bool, bool]:
    return status.value(f"{_PREFIX}leading") == 1, status.value(f"{_PREFIX}credential_refused") == 1


def _of_refresh(snapshot: InstallationSnapshot, status: ProcessStatus) -> Finding:
    state = status.readiness or Readiness(ready=True)
    last = state.last_refresh
    code = last.code if last is not None and last.result != "success" else ""
    detail = (last.message if last is not None else "") or "no reason given"
    expiry = status.value(f"{_PREFIX}credential_expiry_timestamp_seconds")
    if status.value(f"{_PREFIX}credential_refused") == 1 or code == State.CREDENTIAL_REFUSED:
        why = f"the registry refuses it: {detail}" if code else "the registry refuses it"
        return wording.error(Code.CREDENTIAL_REFUSED, _WHAT, why, _change(snapshot))
    if expiry and expiry <= snapshot.now.timestamp():
        ended = datetime.fromtimestamp(expiry, UTC)
        why = f"what is published ended at {ended:%Y-%m-%d %H:%M} UTC" + (f" ({code}: {detail})" if code else "")
        return wording.error(
            Code.CREDENTIAL_EXPIRED, _WHAT, why, "its source has to give a new one: " + wording.sidecar_log(snapshot)
        )
    match code:
        case State.PROVIDER_FAILED:
            return wording.error(Code.CREDENTIAL_PROVIDER, _WHAT, f"its source gives none: {detail}", _change(snapshot))
        case State.REGISTRY_UNAVAILABLE:
            remedy = "see that the Pods reach the registry, and webhook.verify_ca"
            return wording.warning(
                Code.CREDENTIAL_UNCHECKED, _WHAT, f"the registry could not be asked: {detail}", remedy
            )
        case State.CLUSTER_UNAVAILABLE:
            return wording.error(
                Code.CREDENTIAL_UNPUBLISHED,
                _WHAT,
                f"it cannot be published: {detail}",
                "see rights, and " + wording.sidecar_log(snapshot),
            )
        case "":
            return _of_readiness(snapshot, status, state)
    return wording.warning(Code.SIDECAR_WARNING, _WHAT, f"{code}: {detail}", wording.sidecar_log(snapshot))


def _of_readiness(snapshot: InstallationSnapshot, status: ProcessStatus, state: Readiness) -> Finding:
    if not state.ready:
        why = next((one.message for one in state.warnings), "no reason given")
        return wording.warning(
            Code.CREDENTIAL_NOT_READY, _WHAT, f"the sidecar is not ready: {why}", wording.sidecar_log(snapshot)
        )
    if status.value(f"{_PREFIX}credential_refreshed_timestamp_seconds"):
        return wording.ok(Code.CREDENTIAL_OK, _WHAT, "it is published, and the registry has not refused it")
    why = "none is configured: what needs one is not pulled"
    return wording.warning(Code.CREDENTIAL_NONE, _WHAT, why, _change(snapshot))


def sidecar_warnings(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report the other warnings of the refreshers, whether their code is known here or not."""
    warned: dict[Notice, str] = {}
    for replica in snapshot.replicas_or_empty:
        status = known_or(replica.refresher, None)
        if status is None:
            continue
        if status.readiness is None:
            why = f"{replica.name} describes its state in text only, which is not read: it runs an older version"
            yield wording.warning(Code.SIDECAR_OLDER, "sidecar", why, "finish the upgrade, and run doctor again")
            continue
        for notice in status.readiness.warnings:
            if notice.code not in _CHECKED_ELSEWHERE:
                warned.setdefault(notice, replica.name)
    for notice, name in warned.items():
        place = f"{notice.namespace}: " if notice.namespace else ""
        why = f"{name}: {place}{notice.message} ({notice.code})"
        yield wording.warning(Code.SIDECAR_WARNING, "sidecar", why, wording.sidecar_log(snapshot))
