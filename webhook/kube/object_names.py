"""Names of Kubernetes objects.

https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

import re

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NAME_LIMIT = 253
#: https://helm.sh/docs/topics/charts/ and chartutil.ValidateReleaseName
_RELEASE_LIMIT = 53


def is_namespace(text: str) -> bool:
    """Return whether `text` can be a namespace's name: an RFC 1123 label."""
    return _NAMESPACE.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Return whether `text` can be the name of a Pod or a workload: an RFC 1123 subdomain."""
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


def is_release(text: str) -> bool:
    """Return whether `text` can be the name of a Helm release."""
    return len(text) <= _RELEASE_LIMIT and is_name(text)
