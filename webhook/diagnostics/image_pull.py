"""Whether the kubelet can pull a Pod's images with the pull secret, according to the Secret and the Pod's status."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from webhook.constants import (
    DESELECTED_ANNOTATION,
    EXPIRES_ANNOTATION,
    PROGRAM,
    REFRESHED_ANNOTATION,
    REFRESHER,
    InstallationNames,
)
from webhook.diagnostics import limits, waiting
from webhook.diagnostics.remedy import Remedy, refresher_log, remedy
from webhook.errors import CredentialProviderError, NotReadable
from webhook.kube.objects import Event, Pod, Secret, is_managed_by_us
from webhook.log.escaping import truncate
from webhook.output import invocation, kubectl
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding, Mark
from webhook.pull_secret import dockerconfigjson, keyring
from webhook.pull_secret.credential import Entry
from webhook.pull_secret.manifest import KEY, TYPE
from webhook.timestamps import parse_rfc3339

_WHAT = "pull secret"
FOREIGN_HINT = (
    "delete that Secret, or save it under another name first if you need it. The refresher then creates its own"
)


def check_secret(
    place: str, secret: Secret | NotReadable | None, images: Sequence[str], now: float, installation: str
) -> Iterator[Finding]:
    """Check the Secret at `place`, `team-a/registry-webhook-pull`: owner, age, and entries for the images.

    `installation` is the namespace of the refreshers.
    """
    if isinstance(secret, NotReadable):
        yield Finding(Mark.UNKNOWN, Code.SECRET_UNKNOWN, _WHAT, str(secret))
        return
    if secret is None:
        why = f"Secret {place} does not exist"
        yield Finding(Mark.FAIL, Code.SECRET_MISSING, _WHAT, why, *refresher_log(installation))
        return
    if not is_managed_by_us(secret.metadata) or secret.type != TYPE:
        why = f"Secret {place} is not managed by {PROGRAM} (type {truncate(secret.type, limits.NAME)})"
        namespace, _, name = place.partition("/")
        deletion = kubectl.line("delete", "secret", namespace=namespace, name=name)
        yield Finding(Mark.FAIL, Code.SECRET_FOREIGN, _WHAT, why, *remedy(FOREIGN_HINT, deletion))
    else:
        yield Finding(Mark.OK, Code.SECRET_OK, _WHAT, f"Secret {place} exists and is managed by {PROGRAM}")
        yield _age(secret, now, installation)
    yield from _entries(secret, images)


def check_statuses(
    pod: Pod,
    events: tuple[Event, ...],
    now: float,
    names: InstallationNames,
    originals: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Report for each container whether the node has its image, at POSIX time `now`.

    `originals` has the image as it was written for each image that was rewritten.
    """
    time = datetime.fromtimestamp(now, UTC)
    failed = {one.container: one for one in waiting.failed_pulls(pod)}
    images = waiting.images(pod)
    node = f"node {pod.spec.node_name}" if pod.spec.node_name else "the node"
    for kind, status in waiting.statuses(pod):
        container = f"{kind} {status.name}"
        what = f"pull for {container}"
        if container in failed:
            one = failed[container]
            why = f"{node} cannot pull {truncate(one.image, limits.IMAGE)}: {waiting.description(one, events, time)}"
            yield Finding(
                Mark.FAIL, one.code, what, why, *waiting.remedy(pod, one, names, (originals or {}).get(one.image, ""))
            )
        elif status.state.waiting is not None and not status.image_id:
            why = f"the container is waiting: {status.state.waiting.reason or 'no reason given'}"
            yield Finding(Mark.UNKNOWN, Code.PULL_WAITING, what, why)
        else:
            image = truncate(images.get(status.name) or status.image, limits.IMAGE)
            yield Finding(Mark.OK, Code.PULL_OK, what, f"{node} has {image}")
    if not pod.status.container_statuses:
        why = f"no node reports on the Pod yet (phase {pod.status.phase or 'unknown'})"
        yield Finding(Mark.UNKNOWN, Code.PULL_UNKNOWN, "pull", why)


def _age(secret: Secret, now: float, installation: str) -> Finding:
    """Report how old the content of a Secret is, and whether it is still valid."""
    annotations = secret.metadata.annotations
    what = "pull secret content"
    # Anyone who may edit the Secret can write its annotations.
    shown = {key: truncate(value, limits.NAME) for key, value in annotations.items()}
    refreshed = shown.get(REFRESHED_ANNOTATION, "an unknown time")
    expires, since = shown.get(EXPIRES_ANNOTATION), shown.get(DESELECTED_ANNOTATION)
    end = parse_rfc3339(expires or "")
    if end is not None and end <= now:
        why = f"the credential in the pull secret expired at {expires}"
        return Finding(Mark.FAIL, Code.SECRET_EXPIRED, what, why, *refresher_log(installation))
    if any(manager != REFRESHER for manager in secret.metadata.managers("data", KEY)):
        why = "another client changed the pull secret, and the refresher restores it"
        return Finding(Mark.WARNING, Code.SECRET_MODIFIED, what, why, *refresher_log(installation))
    if since is not None:
        why = f"the namespace has not been selected since {since}: the Secret is deleted after a grace period"
        return Finding(Mark.WARNING, Code.SECRET_LEAVING, what, why)
    until = f", valid until {expires}" if expires else ""
    return Finding(Mark.OK, Code.SECRET_OK, what, f"written by the refresher at {refreshed}{until}")


def _entries(secret: Secret, images: Sequence[str]) -> Iterator[Finding]:
    """Report for each image which of the Secret's entries the kubelet would use."""
    try:
        entries, _ = dockerconfigjson.parse(secret.value(KEY))
    except CredentialProviderError as error:
        why = f"the kubelet cannot use the pull secret: {error}"
        yield Finding(Mark.FAIL, Code.SECRET_UNUSABLE, "pull secret content", why, *_recreate(secret))
        return
    for image in images:
        yield _entry(entries, image)


def _recreate(secret: Secret) -> Remedy:
    deletion = kubectl.line("delete", "secret", namespace=secret.metadata.namespace, name=secret.metadata.name)
    return remedy("delete the Secret, and the refresher creates it again", deletion)


def _entry(entries: Sequence[Entry], image: str) -> Finding:
    what = "pull secret entry"
    shown = truncate(image, limits.IMAGE)
    found = keyring.lookup(entries, image)
    if not found:
        known = ", ".join(entry.key for entry in entries)
        why = f"the pull secret has no entry for {shown}, only for {truncate(known, limits.MESSAGE)}" if known else ""
        why = why or f"the pull secret has no entry for {shown}, because it is empty"
        hint = "configure a credential for that registry (opencti.daemon.registry, webhook.credential)"
        return Finding(Mark.FAIL, Code.SECRET_NO_ENTRY, what, why, hint, (invocation.command("doctor"),))
    return Finding(Mark.OK, Code.SECRET_ENTRY, what, f"{', then '.join(entry.key for entry in found)} for {shown}")
