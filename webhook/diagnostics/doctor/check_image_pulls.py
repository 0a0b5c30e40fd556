"""Whether nodes can pull images from the registry, according to the status of Pods."""

from collections.abc import Iterator

from webhook.config.effective import EffectiveConfig
from webhook.constants import MIRROR_ANNOTATION
from webhook.diagnostics import limits, waiting
from webhook.diagnostics.doctor import wording
from webhook.diagnostics.doctor.check import check
from webhook.diagnostics.doctor.snapshot import InstallationSnapshot
from webhook.diagnostics.waiting import FailedPull
from webhook.errors import InvalidReference
from webhook.images import reference
from webhook.kube.objects import Pod
from webhook.kube.partial import known
from webhook.log.escaping import truncate
from webhook.output.finding_codes import Code
from webhook.output.findings import Finding
from webhook.output.phrases import counted

_WHAT = "image pulls"
#: Causes that affect every Pod.
_FAILURES = waiting.REFUSALS | {Code.PULL_UNTRUSTED, Code.PULL_CERT_EXPIRED, Code.PULL_CERT_NAME}
_RECREATE = "recreate the Pod: it has no pull secret, which is added only when a Pod is created"

_Found = tuple[Pod, FailedPull]


@check(_WHAT, Code.PULL_UNKNOWN)
def check_image_pulls(snapshot: InstallationSnapshot) -> Iterator[Finding]:
    """Report one finding for each cause, with one Pod as the example."""
    found: dict[tuple[Code, str, bool], list[_Found]] = {}
    for pod in known(snapshot.waiting_pods):
        for failed in waiting.failed_pulls(pod):
            if _counts(snapshot, pod, failed):
                key = (failed.code, _pod_hint(snapshot, pod, failed), _is_own(snapshot, pod))
                found.setdefault(key, []).append((pod, failed))
    for (code, pod_hint, is_own), every in found.items():
        kind = wording.error if is_own or code in _FAILURES else wording.warning
        pod, failed = every[0]
        hint, commands = waiting.remedy(pod, failed, snapshot.names)
        # A refused credential is the subject of another check, so the command that runs doctor is left out.
        commands = () if pod_hint or (code is Code.PULL_REFUSED and not is_own) else commands
        yield kind(code, _WHAT, _example(snapshot, every), pod_hint or hint, commands)
    if not found:
        why = "no container in selected namespaces or the installation's own waits for an image of the registry"
        yield wording.ok(Code.PULL_OK, _WHAT, why)


def _counts(snapshot: InstallationSnapshot, pod: Pod, failed: FailedPull) -> bool:
    """Return whether to report a pull: any of the installation's Pods, the registry's in selected namespaces."""
    if _is_own(snapshot, pod):
        return True
    settings = snapshot.configuration
    if not isinstance(settings, EffectiveConfig) or settings.server is None:
        return False
    if pod.metadata.namespace not in {one.metadata.name for one in snapshot.selected_namespaces}:
        return False
    resolution = settings.mutator.resolver.resolve(failed.image)
    return (resolution.private and not resolution.rewritten) or _is_below(failed.image, settings.server)


def _is_below(image: str, server: str) -> bool:
    """Return whether an invalid image name begins with the registry."""
    try:
        reference.parse(image)
    except InvalidReference:
        return image.lower().startswith(f"{server.lower()}/")
    return False


def _is_own(snapshot: InstallationSnapshot, pod: Pod) -> bool:
    return pod.metadata.namespace == snapshot.names.namespace


def _pod_hint(snapshot: InstallationSnapshot, pod: Pod, failed: FailedPull) -> str:
    """Return the hint for a Pod that has no pull secret; empty if its failure has another reason."""
    if failed.code not in waiting.REFUSALS:
        return ""
    if MIRROR_ANNOTATION in pod.metadata.annotations:
        return waiting.STATIC_POD_HINT
    settings = snapshot.configuration
    secret = settings.mutator.pull_secret if isinstance(settings, EffectiveConfig) else None
    named = any(one.name == secret for one in pod.spec.image_pull_secrets)
    return "" if named or secret is None or _is_own(snapshot, pod) else _RECREATE


def _example(snapshot: InstallationSnapshot, every: list[_Found]) -> str:
    pod, failed = every[0]
    metadata = pod.metadata
    others = len({one.metadata.uid or one.metadata.name for one, _ in every}) - 1
    more = f" (and {counted(others, 'more Pod')})" if others else ""
    about = [one for one in snapshot.pull_events if one.involved_object.uid == metadata.uid]
    image = truncate(failed.image, limits.IMAGE)
    return f"Pod {metadata.namespace}/{metadata.name}{more}, {failed.container}, {image}: " + waiting.description(
        failed, about, snapshot.now
    )
