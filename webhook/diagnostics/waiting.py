"""Containers that wait for their image, as the kubelet reports in the Pod's status.

The status decides. Anyone who may create Events in a namespace can write one, and the kubelet limits their rate, so an
Event only adds details, which are quoted and attributed.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec import Struct

from webhook.constants import DOCS, MIRROR_ANNOTATION, InstallationNames
from webhook.diagnostics import pull_errors
from webhook.diagnostics.remedy import Remedy
from webhook.diagnostics.remedy import remedy as remedy_of
from webhook.kube.object_names import is_name
from webhook.kube.objects import ContainerStatus, Event, Pod
from webhook.output import kubectl
from webhook.output.finding_codes import Code
from webhook.output.phrases import ago

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
#: The kubelet's message during back-off; before 1.32 it does not contain the cause.
_BACK_OFF = re.compile(r'Back-off pulling image "[^"]*"(?::\s*(?P<cause>.*))?', re.DOTALL)
_EVENT = re.compile(r'Failed to pull image "(?P<image>[^"]*)": (?P<cause>.*)', re.DOTALL)
#: Codes of pulls without a credential that the registry accepts.
REFUSALS = frozenset({Code.PULL_REFUSED, Code.PULL_DENIED})

STATIC_POD_HINT = (
    "a static Pod never gets the pull secret: change its manifest on the node, or give the node a credential (with a "
    "kubelet credential provider, or in the configuration of its container runtime)"
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
            code = pull_errors.classify(cause, image)
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
    """Describe a failed pull with its last cause, from the kubelet's status or, if that has none, from an Event."""
    if failed.cause:
        return f"{pull_errors.meaning(failed.code)}: {_quoted(failed.cause)}"
    summary = (
        f"the kubelet reports {failed.reason}" if failed.code is Code.PULL_FAILED else pull_errors.meaning(failed.code)
    )
    known = [(one, found) for one in events if (found := _about(one, failed))]
    if not known:
        return summary
    event, cause = max(known, key=lambda one: one[0].last)
    return f"{summary}; an Event of {_age(event, now)} reports: {_quoted(cause)}"


def _waited_for(pod: Pod, image: str, message: str) -> str:
    """Return a container's own image, or that of a volume, which the kubelet reports in the same field."""
    volumes = [one.image.reference for one in pod.spec.volumes if one.image is not None and one.image.reference]
    return next((one for one in volumes if f'"{one}"' in message and f'"{image}"' not in message), image)


def _about(event: Event, failed: FailedPull) -> str | None:
    found = _EVENT.match(event.message)
    return found["cause"] if found and found["image"] == failed.image else None


def _quoted(text: str) -> str:
    """Put the last cause of a foreign text into quotes that it cannot close."""
    return '"' + pull_errors.cause(text).replace('"', "'") + '"'


def _age(event: Event, now: datetime) -> str:
    try:
        last = datetime.fromisoformat(event.last)
    except ValueError:
        return "unknown age"
    seconds = max((now - (last if last.tzinfo else last.replace(tzinfo=UTC))).total_seconds(), 0)
    return ago(seconds)


def remedy(pod: Pod, failed: FailedPull, names: InstallationNames, written: str = "") -> Remedy:
    """Return what to do about a failed pull. `written` is the image as it was written, if it was rewritten."""
    if pod.metadata.namespace == names.namespace and failed.code in {*REFUSALS, Code.PULL_NOT_FOUND}:
        # The ServiceAccount's imagePullSecrets are copied to a Pod when it is created.
        restart = ("rollout", "restart", f"deployment/{names.deployment}")
        hint = _own_hint(failed.code, is_release=bool(names.helm_release))
        return remedy_of(hint, kubectl.line(*restart, namespace=names.namespace))
    if failed.code in REFUSALS and MIRROR_ANNOTATION in pod.metadata.annotations:
        return Remedy(STATIC_POD_HINT)
    node, namespace = pod.spec.node_name, pod.metadata.namespace
    usual = pull_errors.remedy(
        failed.code, failed.image, message=failed.cause, node=node, namespace=namespace, written=written
    )
    if failed.code is not Code.PULL_FAILED:
        return usual
    # Before Kubernetes 1.32 the status has no cause during back-off, and Events have it.
    name = pod.metadata.name
    return remedy_of(usual.hint, kubectl.line("describe", "pod", name, namespace=namespace) if is_name(name) else None)


def _own_hint(code: Code, *, is_release: bool) -> str:
    """Return what to do about a Pod of the installation, which never gets the pull secret, and whose image stays."""
    if code in REFUSALS:
        what = "create or correct the Secret for the image of registry-webhook, " + (
            f"name it in the value imagePullSecrets of the Helm release, see {DOCS}/how-to/helm.md#write-a-values-file"
            if is_release
            else f"see {DOCS}/how-to/install.md#create-the-secrets"
        )
    else:
        what = "push the image of registry-webhook to the registry, or correct " + (
            "image.repository and image.tag in the values of the Helm release and upgrade it"
            if is_release
            else "it in the folder that you installed from and apply that"
        )
    return f"{what}, then restart the Deployment"
