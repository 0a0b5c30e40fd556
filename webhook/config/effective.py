"""The configuration that decides what happens to Pods, and where it was read."""

from typing import Literal, NamedTuple

from webhook.admission.mutator import Handler, Policy


class Settings(NamedTuple):
    """The configuration's part in what becomes of Pods and namespaces."""

    policy: Policy
    mode: Literal["labelled", "all"]
    server: str | None
    hash: str
    """The configuration's fingerprint."""
    origin: str
    """Where it was read: `ConfigMap registry-webhook/registry-webhook`, or a file's name."""

    @property
    def handler(self) -> Handler:
        """Make what decides reviews, as the server does."""
        return Handler(self.policy)
