"""The state of the credential and of the refreshers, as they report it. The credential itself is not read."""

from collections.abc import Iterator
from datetime import UTC, datetime

from webhook.config.effective import EffectiveConfig
from webhook.constants import DOCS
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import CredentialSecret, InstallationSnapshot, ProcessStatus
from webhook.diagnostics.remedy import Remedy, refresher_log, remedy
from webhook.errors import NotReadable
from webhook.kube.installed_config import REFRESHER
from webhook.kube.partial import known, known_or
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import ago
from webhook.pull_secret.manifest import KEY as DOCKER_CONFIG_KEY
from webhook.readiness import Code as State
from webhook.readiness import Notice, Readiness, Refresh
from webhook.registry import failure
from webhook.registry.failure import Failure
from webhook.timestamps import parse_rfc3339

_WHAT, _REFRESHER = "credential", "refresher"
_USERNAME, _PASSWORD = "username", "password"
_URL = f"{DOCS}/how-to/credentials.md"
_PREFIX = "registry_webhook_refresher_"
#: States that the check of the credential reports.
_OF_CREDENTIAL = frozenset(
    {
        State.PROVIDER_FAILED,
        State.REGISTRY_UNAVAILABLE,
        State.REGISTRY_UNTRUSTED,
        State.CREDENTIAL_REFUSED,
        State.CLUSTER_UNAVAILABLE,
        State.REFRESH_PENDING,
        State.NOT_PUBLISHED,
        State.CREDENTIAL_EXPIRED,
    }
)
#: States that other checks report.
_CHECKED_ELSEWHERE = _OF_CREDENTIAL | {State.CONFIGURATION_INVALID, State.FOREIGN_SECRET}


@check(_WHAT, Code.CREDENTIAL_UNKNOWN)
def check_credential(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Check the last refresh, as the leader reports it if it is known."""
    if isinstance(snapshot.configuration, EffectiveConfig):
        if snapshot.configuration.server is None:
            return
        if snapshot.configuration.mutator.pull_secret is None:
            why = "no pull secret is created, because webhook.pull_secret.enabled is false"
            yield wording.ok(Code.CREDENTIAL_DISABLED, _WHAT, why)
            return
    replicas = known(snapshot.replicas)
    status = leader_status(snapshot)
    if status is None:
        for replica in replicas:
            known(replica.refresher)
        raise NotReadable("no refresher is running")
    yield _of_refresh(snapshot, status)


def leader_status(snapshot: InstallationSnapshot) -> ProcessStatus | None:
    """Return the status of the leader, else of a refresher whose credential was refused, else of any."""
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
    tried = _age(snapshot, last, "tried")
    if status.value(f"{_PREFIX}credential_refused") == 1 or code == State.CREDENTIAL_REFUSED:
        checked = _age(snapshot, last, "checked")
        why = f"the credential was refused{checked}" + (f": {detail}" if code else "")
        return wording.error(Code.CREDENTIAL_REFUSED, _WHAT, why, *_change(snapshot))
    if expiry and 0 < expiry <= snapshot.now.timestamp():
        ended = datetime.fromtimestamp(expiry, UTC)
        why = f"the published credential expired at {ended:%Y-%m-%d %H:%M} UTC" + (
            f" ({code}: {detail})" if code else ""
        )
        hint = "the credential provider must return a new one. Find the reason in the log of the refreshers"
        return wording.error(Code.CREDENTIAL_EXPIRED, _WHAT, why, *refresher_log(snapshot.names.namespace, hint))
    match code:
        case State.PROVIDER_FAILED:
            return _of_provider(snapshot, detail)
        case State.REGISTRY_UNTRUSTED:
            return wording.warning(
                Code.CREDENTIAL_UNTRUSTED, _WHAT, f"{detail}{tried}", failure.hint(Failure.UNTRUSTED)
            )
        case State.REGISTRY_UNAVAILABLE:
            why = f"the credential could not be checked{tried}: {detail}"
            hint = "check that the Pods of registry-webhook can reach the registry. Nodes may still reach it"
            return wording.warning(Code.CREDENTIAL_UNCHECKED, _WHAT, why, hint)
        case State.CLUSTER_UNAVAILABLE:
            hint = "check the permissions of the refresher, and find the reason in its log"
            why = f"the credential cannot be published: {detail}"
            see_log = refresher_log(snapshot.names.namespace, hint)
            return wording.error(Code.CREDENTIAL_UNPUBLISHED, _WHAT, why, *see_log)
        case "":
            return _of_readiness(snapshot, status, state)
    return wording.warning(Code.SIDECAR_WARNING, _WHAT, f"{detail} ({code})", *refresher_log(snapshot.names.namespace))


def _age(snapshot: InstallationSnapshot, last: Refresh | None, verb: str) -> str:
    """Return the age of the last refresh in parentheses, empty if it is not known."""
    time = None if last is None else parse_rfc3339(last.time)
    return "" if time is None else f" (last {verb} {ago(snapshot.now.timestamp() - time)})"


def _of_readiness(snapshot: InstallationSnapshot, status: ProcessStatus, state: Readiness) -> Finding:
    if not state.ready:
        why = next((one.message for one in state.warnings), "no reason given")
        why = f"the refresher is not ready: {why}"
        return wording.warning(Code.CREDENTIAL_NOT_READY, _WHAT, why, *refresher_log(snapshot.names.namespace))
    if status.value(f"{_PREFIX}credential_refreshed_timestamp_seconds"):
        return wording.ok(Code.CREDENTIAL_OK, _WHAT, _published(snapshot, state.last_refresh))
    if state.last_refresh is not None and state.last_refresh.code == State.STANDBY:
        raise NotReadable("no leader has reported on the credential yet")
    why = "no credential is configured, so images that need one cannot be pulled"
    return wording.warning(Code.CREDENTIAL_NONE, _WHAT, why, f"configure a credential as described in {_URL}")


def _published(snapshot: InstallationSnapshot, last: Refresh | None) -> str:
    if last is None or last.code != State.PUBLISHED:
        return "the credential is published"
    # The message of a successful refresh is the registry's verdict.
    if last.message:
        return f"the credential is published and accepted by the registry{_age(snapshot, last, 'checked')}"
    return f"the credential is published without a check by the registry{_age(snapshot, last, 'read')}"


def _of_provider(snapshot: InstallationSnapshot, detail: str) -> Finding:
    """Report why there is no credential: first what is wrong with the mounted Secret, if that is known."""
    secret = snapshot.credential_secret
    if secret is None or isinstance(secret, NotReadable):
        unread = f" (the keys of the Secret are not known: {secret})" if secret else ""
        why = f"the credential could not be read: {detail}{unread}"
        return wording.error(Code.CREDENTIAL_PROVIDER, _WHAT, why, *_change(snapshot))
    place = f"Secret {snapshot.names.namespace}/{secret.name}"
    needed = " and ".join(secret.needed)
    if secret.keys is None:
        why = f"{place} does not exist. It needs the {_keys(secret.needed)} {needed}"
        return wording.error(Code.CREDENTIAL_SECRET_MISSING, _WHAT, why, *_create(snapshot, secret))
    if set(secret.needed) <= set(secret.keys):
        why = f"{place} has the {_keys(secret.needed)} {needed}, but the credential could not be read: {detail}"
        hint, commands = _create(snapshot, secret)
        hint = f"if you changed the Secret, wait two minutes until the kubelet has updated it. Otherwise {hint}"
        return wording.error(Code.CREDENTIAL_PROVIDER, _WHAT, why, hint, commands)
    if DOCKER_CONFIG_KEY in secret.keys and DOCKER_CONFIG_KEY not in secret.needed:
        why = f"{place} was created with `kubectl create secret docker-registry`, and needs the keys {needed}"
        return wording.error(Code.CREDENTIAL_SECRET_KEYS, _WHAT, why, *_create(snapshot, secret, delete=True))
    has = f"the {_keys(secret.keys)} {', '.join(sorted(secret.keys))}" if secret.keys else "no keys"
    why = f"{place} has {has}, and needs the {_keys(secret.needed)} {needed}"
    return wording.error(Code.CREDENTIAL_SECRET_KEYS, _WHAT, why, *_create(snapshot, secret))


def _keys(keys: tuple[str, ...]) -> str:
    return "key" if len(keys) == 1 else "keys"


def _change(snapshot: InstallationSnapshot) -> Remedy:
    """Return how to replace the credential."""
    secret = known_or(snapshot.credential_secret, None)
    if secret is None or secret.keys is None:
        return Remedy(f"correct the credential, as described in {_URL}")
    return _create(snapshot, secret)


def _create(snapshot: InstallationSnapshot, secret: CredentialSecret, *, delete: bool = False) -> Remedy:
    """Return how to create the Secret, or to replace its values. The command asks for them."""
    if secret.is_of_release:
        return Remedy(
            "change credentials.username and credentials.password in the values of the release, and upgrade it"
        )
    if set(secret.needed) != {_USERNAME, _PASSWORD}:
        return Remedy(f"correct the Secret, as described in {_URL}")
    namespace = snapshot.names.namespace
    create = kubectl.line("create", "secret", "generic", secret.name, namespace=namespace)
    if create is None:
        return Remedy(f"correct the Secret, as described in {_URL}")
    values = f'--from-literal={_USERNAME}="$username" --from-file={_PASSWORD}=<(printf %s "$password")'
    ask = "read -rp 'User name: ' username && read -rsp 'Password: ' password && echo"
    apply = f"{create} {values} --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -"
    before = kubectl.line("delete", "secret", namespace=namespace, name=secret.name) if delete else None
    hint = "write the credential into the Secret, with bash. The refresher reads it within two minutes"
    if delete:
        release = snapshot.names.helm_release
        use = "name it in the value credentials.dockerConfig.name" if release else "add the component docker-config"
        hint = f"to use this Secret, {use}. Otherwise delete it and {hint}"
    return remedy(hint, before, f"{ask} && {apply}")


def check_refreshers(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report the other warnings of the refreshers, whether their code is known here or not."""
    warned: dict[Notice, str] = {}
    for replica in snapshot.replicas_or_empty:
        status = known_or(replica.refresher, None)
        if status is None:
            continue
        if status.readiness is None:
            why = f"{replica.name} runs an older version, whose state doctor cannot read"
            yield wording.warning(Code.SIDECAR_OLDER, _REFRESHER, why, "complete the upgrade, and run doctor again")
            continue
        for notice in status.readiness.warnings:
            if notice.code not in _CHECKED_ELSEWHERE:
                warned.setdefault(notice, replica.name)
    for notice, name in warned.items():
        place = f"namespace {notice.namespace}: " if notice.namespace else ""
        why = f"{name} reports: {place}{notice.message} ({notice.code})"
        yield wording.warning(Code.SIDECAR_WARNING, _REFRESHER, why, *refresher_log(snapshot.names.namespace))
