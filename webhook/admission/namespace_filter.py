"""Selection of namespaces, for rewriting and for the pull secret alike."""

from collections.abc import Mapping

from webhook.constants import DEFAULT_NAMESPACE, ENABLED_LABEL, SYSTEM_NAMESPACES
from webhook.images.patterns import Globs
from webhook.settings import NamespaceSettings


class NamespaceFilter:
    """Applies `webhook.namespaces`; the installation's own namespace is never selected."""

    def __init__(self, settings: NamespaceSettings, own: str = DEFAULT_NAMESPACE) -> None:
        self._own = own
        self._allow = None if settings.allow is None else Globs(settings.allow)
        self._deny = Globs(settings.deny)
        self._needs_label = settings.mode == "labelled"

    def denial_reason(self, namespace: str) -> str | None:
        """Return why a namespace is not selected whatever its labels are, or None; deny wins over allow."""
        if namespace in SYSTEM_NAMESPACES:
            return f"namespace {namespace} is a system namespace"
        if namespace == self._own:
            return f"namespace {namespace} is the namespace of the webhook"
        denied = self._deny.match(namespace)
        if denied is not None:
            return f"namespace {namespace} is denied by {denied} in webhook.namespaces.deny"
        if self._allow is not None and self._allow.match(namespace) is None:
            return f"namespace {namespace} is not in webhook.namespaces.allow"
        return None

    def is_opted_in(self, labels: Mapping[str, str]) -> bool:
        """Return whether a namespace's labels opt it in; with mode `all`, whether they do not opt it out."""
        label = labels.get(ENABLED_LABEL)
        return label == "true" if self._needs_label else label != "false"

    def is_selected(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Return whether a namespace is opted in and not denied."""
        return self.is_opted_in(labels) and self.denial_reason(namespace) is None
