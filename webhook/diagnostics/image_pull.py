"""Whether the kubelet can pull a Pod's images with the pull secret, according to the Secret and the Pod's status."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from webhook.constants import (
    EXPIRES_ANNOTATION,
    REFRESHED_ANNOTATION,
    REFRESHER,
    UNSERVED_ANNOTATION,
    InstallationNames,
)
from webhook.diagnostics import waiting
from webhook.errors import CredentialProviderError, NotReadable
from webhook.kube.objects import Event, Pod, Secret, is_managed_by_us
from webhook.log.escaping import truncate
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.pull_secret import dockerconfigjson, keyring
from webhook.pull_secret.credential import Entry
from webhook.pull_secret.manifest import KEY, TYPE
from webhook.timestamps import parse_rfc3339

_SHOWN = 400
_WHAT = "pull secret"


def _ask_sidecar(names: InstallationNames) -> str:
    deployment = f"deployment/{names.deployment}"
    return f"the sidecar says why: kubectl -n {names.namespace} logs {deployment} --container refresher"


def check_secret(
    place: str, secret: Secret | NotReadable | None, images: Sequence[str], now: float, names: InstallationNames
) -> Iterator[Finding]:
    """Check the Secret at `place`, `team-a/registry-webhook-pull`: owner, age, and entries for the images."""
    if isinstance(secret, NotReadable):
        yield Finding(
            Mark.UNKNOWN, Code.SECRET_UNKNOWN, _WHAT, str(secret), "whoever may read Secrets there can ask this"
        )
        return
    if secret is None:
        yield Finding(Mark.FAIL, Code.SECRET_MISSING, _WHAT, f"there is no Secret {place}", _ask_sidecar(names))
        return
    if not is_managed_by_us(secret.metadata) or secret.type != TYPE:
        why = f"Secret {place} is not ours: somebody else made it, of type {secret.type}"
        namespace, _, name = place.partition("/")
        remedy = f"delete or rename it; the sidecar then creates its own{kubectl.deletion(namespace, name)}"
        yield Finding(Mark.FAIL, Code.SECRET_FOREIGN, _WHAT, why, remedy)
    else:
        yield Finding(Mark.OK, Code.SECRET_OK, _WHAT, f"Secret {place} is there, and ours")
        yield _age(secret, now, names)
    yield from _entries(secret, images)


def check_statuses(pod: Pod, events: tuple[Event, ...], now: float) -> Iterator[Finding]:
    """Report for each container whether the node has its image, at POSIX time `now`."""
    time = datetime.fromtimestamp(now, UTC)
    failed = {one.container: one for one in waiting.failed_pulls(pod)}
    images = waiting.images(pod)
    for kind, status in waiting.statuses(pod):
        container = f"{kind} {status.name}"
        what = f"pull for {status.name}"
        if container in failed:
            one = failed[container]
            why = f"the node does not get {waiting.shown(one.image)}: {waiting.description(one, events, time)}"
            yield Finding(Mark.FAIL, one.code, what, why, waiting.remedy(pod, one).hint)
        elif status.state.waiting is not None and not status.image_id:
            why = f"the container waits: {status.state.waiting.reason or 'no reason given'}"
            yield Finding(Mark.UNKNOWN, Code.PULL_WAITING, what, why)
        else:
            yield Finding(
                Mark.OK, Code.PULL_OK, what, f"the node has {waiting.shown(images.get(status.name) or status.image)}"
            )
    if not pod.status.container_statuses:
        why = f"no node reports on it yet (phase {pod.status.phase or 'unknown'})"
        yield Finding(Mark.UNKNOWN, Code.PULL_UNKNOWN, "pull", why)


def _age(secret: Secret, now: float, names: InstallationNames) -> Finding:
    """Report how old the content of a Secret is, and whether it is still valid."""
    annotations = secret.metadata.annotations
    what = "its content"
    refreshed = annotations.get(REFRESHED_ANNOTATION, "an unknown time")
    expires = annotations.get(EXPIRES_ANNOTATION)
    unserved_since = annotations.get(UNSERVED_ANNOTATION)
    end = parse_rfc3339(expires or "")
    if end is not None and end <= now:
        return Finding(
            Mark.FAIL, Code.SECRET_EXPIRED, what, f"the credential in it expired at {expires}", _ask_sidecar(names)
        )
    if any(manager != REFRESHER for manager in secret.metadata.managers("data", KEY)):
        return Finding(
            Mark.WARNING,
            Code.SECRET_MODIFIED,
            what,
            "somebody changed it; the sidecar puts it back",
            _ask_sidecar(names),
        )
    if unserved_since is not None:
        why = f"it stays for a while, for the namespace has not been served since {unserved_since}"
        return Finding(Mark.WARNING, Code.SECRET_LEAVING, what, why)
    until = f", and good until {expires}" if expires else ""
    return Finding(Mark.OK, Code.SECRET_OK, what, f"it is as the sidecar wrote it at {refreshed}{until}")


def _entries(secret: Secret, images: Sequence[str]) -> Iterator[Finding]:
    """Report for each image which of the Secret's entries the kubelet would use."""
    try:
        entries, _ = dockerconfigjson.parse(secret.value(KEY))
    except CredentialProviderError as error:
        yield Finding(Mark.FAIL, Code.SECRET_UNUSABLE, "its entries", f"kubelet can use nothing of it: {error}")
        return
    for image in images:
        yield _entry(entries, image)


def _entry(entries: Sequence[Entry], image: str) -> Finding:
    what = "kubelet's entry"
    shown = truncate(image, _SHOWN)
    found = keyring.lookup(entries, image)
    if not found:
        known = ", ".join(entry.key for entry in entries) or "none at all"
        return Finding(
            Mark.FAIL, Code.SECRET_NO_ENTRY, what, f"no entry is for {shown}: there are {truncate(known, _SHOWN)}"
        )
    return Finding(Mark.OK, Code.SECRET_ENTRY, what, f"{', then '.join(entry.key for entry in found)} for {shown}")
