"""Which namespaces are served, as far as their name tells; their label is asked for by the webhook configuration."""

from collections.abc import Sequence

from webhook.images.globs import Globs
from webhook.names import OWN_NAMESPACE, SYSTEM_NAMESPACES


class NamespaceBounds:
    """What a namespace's label can get at most: `webhook.namespaces.allow` and `.deny`."""

    def __init__(self, allow: Sequence[str] | None, deny: Sequence[str]) -> None:
        """Take globs of names; `allow` None stands for all. A name that both cover is denied."""
        self._allow = None if allow is None else Globs(allow)
        self._deny = Globs(deny)

    def why_not(self, namespace: str) -> str | None:
        """Say in words why `namespace` is never served, or None when it may be."""
        if namespace in SYSTEM_NAMESPACES:
            return f"namespace {namespace} is Kubernetes' own"
        if namespace == OWN_NAMESPACE:
            return f"namespace {namespace} is the webhook's own"
        denied = self._deny.match(namespace)
        if denied is not None:
            return f"namespace {namespace} is denied by {denied} in webhook.namespaces.deny"
        if self._allow is not None and self._allow.match(namespace) is None:
            return f"namespace {namespace} is not among webhook.namespaces.allow"
        return None
