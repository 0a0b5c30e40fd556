"""Which namespaces are served: for rewriting and for the pull secret alike."""

from collections.abc import Mapping, Sequence
from typing import Literal

from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, SYSTEM_NAMESPACES
from webhook.images.patterns import Globs


class NamespaceFilter:
    """What a namespace's label can get at most: `webhook.namespaces.allow` and `.deny`."""

    def __init__(self, allow: Sequence[str] | None, deny: Sequence[str], own: str = DEFAULT_NAMESPACE) -> None:
        """Take globs of names; `allow` None stands for all. A name that both cover is denied.

        `own` is the installation's namespace.
        """
        self._own = own
        self._allow = None if allow is None else Globs(allow)
        self._deny = Globs(deny)

    def denial_reason(self, namespace: str) -> str | None:
        """Say in words why `namespace` is never served, or None when it may be."""
        if namespace in SYSTEM_NAMESPACES:
            return f"namespace {namespace} is Kubernetes' own"
        if namespace == self._own:
            return f"namespace {namespace} is the webhook's own"
        denied = self._deny.match(namespace)
        if denied is not None:
            return f"namespace {namespace} is denied by {denied} in webhook.namespaces.deny"
        if self._allow is not None and self._allow.match(namespace) is None:
            return f"namespace {namespace} is not among webhook.namespaces.allow"
        return None


def is_selected(labels: Mapping[str, str], mode: Literal["labelled", "all"]) -> bool:
    """Tell whether a namespace with these labels asks to be served: by its label, or with `all` unless it says no."""
    label = labels.get(ENABLED_LABEL)
    return label == "true" if mode == "labelled" else label != "false"
