"""The registries that need a credential: the server, the targets of rules, and further registries."""

from collections.abc import Iterable
from itertools import islice
from typing import Self

from msgspec import Struct

from webhook.images import prefix as images_prefix
from webhook.images.reference import DOCKER_HUB
from webhook.pull_secret import keyring
from webhook.pull_secret.credential import Entry, host_of, static_entries
from webhook.settings import Configuration

#: Prefixes that are looked up for a note, and that a note names.
_LOOKED_UP = 100
_NAMED = 5


class Targets(Struct, frozen=True):
    """The normalized prefixes whose images get the pull secret."""

    server: str | None
    prefixes: tuple[str, ...]
    """Each once, the server first."""
    images: frozenset[str]
    """Those that may be an image's whole name, such as the target of a rule for a single image."""

    @classmethod
    def from_configuration(cls, configuration: Configuration) -> Self:
        server, webhook = configuration.registry.server or None, configuration.webhook
        images = frozenset(rule.target for rule in webhook.rules if _may_be_an_image(rule.source))
        return cls(server, configuration.private_prefixes, images)

    def hosts(self) -> list[str]:
        """Return each host with its port once, the server's first, spelled as in the first of its prefixes."""
        spelled = {images_prefix.canonical_host(prefix): host_of(prefix) for prefix in reversed(self.prefixes)}
        return [spelled[host] for host in dict.fromkeys(map(images_prefix.canonical_host, self.prefixes))]

    def entries(self, host: str, username: str, password: str, email: str | None = None) -> tuple[Entry, ...]:
        """Return the entries of a host's credential for all its prefixes. Raises `InvalidCredential`."""
        wanted = images_prefix.canonical_host(host)
        first, *others = (prefix for prefix in self.prefixes if images_prefix.canonical_host(prefix) == wanted)
        return static_entries(first, others, username, password, email, images=self.images)

    def uncovered(self, entries: Iterable[Entry]) -> tuple[str, ...]:
        """Name the prefixes for which the kubelet would find no entry, if any, in a note."""
        known = tuple(entries)
        looked_up = islice(self.prefixes, _LOOKED_UP)
        missing = [prefix for prefix in looked_up if not keyring.lookup(known, f"{prefix}/image")]
        if not missing:
            return ()
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        return (f"no entry is for images of {', '.join(missing[:_NAMED])}{more}; they are pulled without a credential",)


def _may_be_an_image(source: str) -> bool:
    """Whether a rule's `from` can be an image's name: on Docker Hub none has a single component."""
    host, _, path = source.partition("/")
    return "/" in path if host == DOCKER_HUB else bool(path)
