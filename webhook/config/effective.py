"""The configuration that decides what happens to Pods, and where it was read."""

from typing import Literal, NamedTuple

from webhook.admission.mutator import Mutator, Policy


class EffectiveConfig(NamedTuple):
    """The configuration's part in what becomes of Pods and namespaces."""

    policy: Policy
    mode: Literal["labelled", "all"]
    server: str | None
    hash: str
    """The configuration's fingerprint."""
    origin: str
    """Where it was read: `ConfigMap registry-webhook/registry-webhook`, or a file's name."""

    @property
    def handler(self) -> Mutator:
        """Make what decides reviews, as the server does."""
        return Mutator(self.policy)
