"""The Pod that is created in a dry run, to check whether it is rewritten."""

from typing import Any

import msgspec

from webhook.config.effective import EffectiveConfig
from webhook.kube.objects import DryRunResult, Pod

_CONTAINER = "sample"
#: The first of these that the configuration does not exclude is used.
_IMAGES = ("registry-webhook/sample", "nginx", "sample")


def manifest(image: str) -> dict[str, Any]:
    """Return a Pod that no Pod Security level refuses.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    security_context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    resources = {"cpu": "1m", "memory": "1Mi"}
    container = {
        "name": _CONTAINER,
        "image": image,
        "securityContext": security_context,
        "resources": {"requests": resources, "limits": resources},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "registry-webhook-sample"},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


def image(settings: EffectiveConfig) -> str | None:
    """Return an image that the configuration rewrites, None if it rewrites none of those tried."""
    if settings.server is None:
        return None
    return next((name for name in _IMAGES if settings.mutator.resolver.resolve(name).rewritten), None)


def image_of(result: DryRunResult) -> str | None:
    """Return the image that the Pod would be stored with, None if it was refused."""
    if result.stored is None:
        return None
    stored = msgspec.convert(result.stored, Pod)
    return next((one.image for one in stored.spec.containers if one.name == _CONTAINER), None)
