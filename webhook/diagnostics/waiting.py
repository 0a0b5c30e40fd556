"""Containers that wait for their image, as the kubelet reports in the Pod's status.

The status decides. Anyone who may create Events in a namespace can write one, and the kubelet limits their rate, so an
Event only adds details, which are quoted and attributed.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from webhook.constants import MIRROR_ANNOTATION
from webhook.kube.objects import ContainerStatus, Event, Pod
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.table import counted

#: All waiting reasons of the kubelet's image manager (k8s.io/kubernetes/pkg/kubelet/images) and of the errors that it
#: takes over from the runtime (k8s.io/cri-api/pkg/errors).
_REASONS = {
    "ErrImagePull": Code.PULL_FAILED,
    "ImagePullBackOff": Code.PULL_FAILED,
    "ErrImageNeverPull": Code.PULL_NEVER,
    "InvalidImageName": Code.PULL_NAME,
    "ImageInspectError": Code.PULL_INSPECT,
    "RegistryUnavailable": Code.PULL_UNAVAILABLE,
    "SignatureValidationFailed": Code.PULL_SIGNATURE,
}
_KINDS = (
    ("init container", "init_container_statuses"),
    ("container", "container_statuses"),
    ("ephemeral container", "ephemeral_container_statuses"),
)
_SHOWN = 300
#: The kubelet's message during back-off; before 1.32 it does not contain the cause.
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"(?::\s*(?P<cause>.*))?', re.DOTALL)
_EVENT = re.compile(r'Failed to pull image "(?P<image>[^"]*)": (?P<cause>.*)', re.DOTALL)
#: Parts of the runtime's text that the Pod's author chooses: names in quotes, in brackets or in a URL.
_CHOSEN = re.compile(r'"[^"]*"|\[[^\]]*\]|\S+://\S+')
_CAUSES = (
    (re.compile(r"x509|certificate"), Code.PULL_UNTRUSTED),
    (
        re.compile(r"\b40[13]\b|unauthorized|authorization failed|access.* denied|no basic auth", re.IGNORECASE),
        Code.PULL_REFUSED,
    ),
    (re.compile(r"\bSignatureValidationFailed\b"), Code.PULL_SIGNATURE),
    (re.compile(r"\bRegistryUnavailable\b"), Code.PULL_UNAVAILABLE),
)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

_REMEDIES = {
    Code.PULL_FAILED: "check that the image is in the registry",
    Code.PULL_UNTRUSTED: (
        "nodes pull images: their container runtime has to trust the registry's CA "
        "(containerd: /etc/containerd/certs.d/HOST)"
    ),
    Code.PULL_REFUSED: "check the credential and the pull secret",
    Code.PULL_UNAVAILABLE: "check that the node can reach the registry",
    Code.PULL_NEVER: (
        "with imagePullPolicy Never the image has to be on the node under exactly this name: load it there, or use "
        "IfNotPresent; if it was rewritten, recreate the Pod"
    ),
    Code.PULL_NAME: "correct the image's name",
    Code.PULL_SIGNATURE: "sign the image, or change the node's signature policy",
    Code.PULL_INSPECT: "check the node's container runtime; remove the image from the node so that it is pulled again",
}
STATIC_POD_HINT = (
    "it is a static Pod, which never gets the pull secret: change its manifest on the node, or give the node a "
    "credential (a kubelet credential provider, or the runtime's configuration)"
)


class FailedPull(Struct, frozen=True):
    """A container that does not get its image."""

    container: str
    """The container in words: `init container setup`."""
    image: str
    """As the Pod names it."""
    reason: str
    """The kubelet's reason."""
    cause: str
    """The kubelet's message without the image; empty if it has none."""
    code: Code


def failed_pulls(pod: Pod) -> Iterator[FailedPull]:
    """Find the containers of every kind that do not get their image."""
    named = images(pod)
    for kind, status in statuses(pod):
        waiting = status.state.waiting
        if waiting is None or waiting.reason not in _REASONS:
            continue
        image = _waited_for(pod, named.get(status.name) or status.image, waiting.message)
        found = _BACK_OFF.match(waiting.message)
        cause = (found["cause"] or "") if found else waiting.message
        code = _REASONS[waiting.reason]
        if code is Code.PULL_FAILED:
            code = _code(cause, image)
        yield FailedPull(f"{kind} {status.name}", image, waiting.reason, cause.strip(), code)


def images(pod: Pod) -> dict[str, str | None]:
    """Return the image of each container by the container's name, which is unique in a Pod."""
    spec = pod.spec
    return {one.name: one.image for one in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers)}


def statuses(pod: Pod) -> Iterator[tuple[str, ContainerStatus]]:
    """Return the status of each container with its kind, in the order in which they start."""
    for kind, field in _KINDS:
        for status in getattr(pod.status, field):
            yield kind, status


def description(failed: FailedPull, events: Iterable[Event], now: datetime) -> str:
    """Quote the cause of a failed pull, from the kubelet's status or, if that has none, from an Event."""
    summary = f"the kubelet reports {failed.reason}"
    if failed.cause:
        return f"{summary}: {_quoted(failed.cause)}"
    known = [(one, found) for one in events if (found := _about(one, failed))]
    if not known:
        return summary
    event, cause = max(known, key=lambda one: one[0].last)
    return f"{summary}; an Event of {_age(event, now)} says: {_quoted(cause)}"


def _waited_for(pod: Pod, image: str, message: str) -> str:
    """Return a container's own image, or that of a volume, which the kubelet reports in the same field."""
    volumes = [one.image.reference for one in pod.spec.volumes if one.image is not None and one.image.reference]
    return next((one for one in volumes if f'"{one}"' in message and f'"{image}"' not in message), image)


def _code(cause: str, image: str) -> Code:
    text = _CHOSEN.sub("", cause).replace(image, "")
    return next((code for pattern, code in _CAUSES if pattern.search(text)), Code.PULL_FAILED)


def _about(event: Event, failed: FailedPull) -> str | None:
    found = _EVENT.match(event.message)
    return found["cause"] if found and found["image"] == failed.image else None


def _quoted(text: str) -> str:
    """Put foreign text into quotes that it cannot close. Runtimes put the cause last, so the end is kept."""
    text = text.strip().replace('"', "'")
    return f'"{text}"' if len(text) <= _SHOWN else f'"...{text[3 - _SHOWN :]}"'


def _age(event: Event, now: datetime) -> str:
    try:
        last = datetime.fromisoformat(event.last)
    except ValueError:
        return "unknown age"
    seconds = max((now - (last if last.tzinfo else last.replace(tzinfo=UTC))).total_seconds(), 0)
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            return f"{counted(int(seconds // unit), name)} ago"
    return "less than a minute ago"


def shown(image: str) -> str:
    """Truncate an image's name for a finding."""
    return truncate(image, _SHOWN)


def remedy(pod: Pod, code: Code) -> str:
    """Return what to do about a failed pull."""
    is_static = code is Code.PULL_REFUSED and MIRROR_ANNOTATION in pod.metadata.annotations
    return STATIC_POD_HINT if is_static else _REMEDIES[code]
