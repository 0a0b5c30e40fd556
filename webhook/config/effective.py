"""The configuration that decides on Pods and namespaces, and where it was read."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from webhook.admission.mutator import Mutator
from webhook.settings import Configuration


@dataclass(frozen=True)
class EffectiveConfig:
    """A loaded configuration, as the commands report on it."""

    settings: Configuration
    origin: str
    """`ConfigMap registry-webhook/registry-webhook`, or a file's name."""

    @property
    def digest(self) -> str:
        return self.settings.digest

    @property
    def server(self) -> str | None:
        """`registry.server`."""
        return self.settings.registry.server

    @property
    def mode(self) -> Literal["labelled", "all"]:
        """`webhook.namespaces.mode`."""
        return self.settings.webhook.namespaces.mode

    @cached_property
    def mutator(self) -> Mutator:
        """Decides on Pods as the server does."""
        return Mutator(self.settings)
