"""The history of the certificate's Secret and the webhook configuration, as reported by watches.

Both are in one store, so their resourceVersions have one order.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from webhook.constants import InstallationNames
from webhook.errors import ClusterError
from webhook.kube.api import ListWatch, Watch
from webhook.kube.client import Client
from webhook.kube.install import InstallationClient
from webhook.pki import ca, secret_codec
from webhook.pki.rotation import State
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig

_Object = TypeVar("_Object", TlsSecret, WebhookClientConfig)
_PAUSE = 0.2


class Kept(NamedTuple):
    """The Secret at a version."""

    version: int
    at: datetime
    """When this was heard of."""
    state: State


class Trusted(NamedTuple):
    """The webhook configuration at a version."""

    version: int
    at: datetime
    authorities: frozenset[bytes]
    """The certificates in its `caBundle`."""


class History:
    """What was, and goes on."""

    def __init__(self, client: Client) -> None:
        """Take a client, and look at nothing yet."""
        installation = InstallationClient(client, InstallationNames())
        self._certificates = installation.certificates
        self._calls = installation.webhook_configurations
        self._stop = threading.Event()
        self._open: list[Watch[TlsSecret] | Watch[WebhookClientConfig]] = []
        self.kept: list[Kept] = []
        self.trusted: list[Trusted] = []

    def begin(self) -> list[threading.Thread]:
        """Start to watch both."""
        threads = [
            threading.Thread(target=self._follow_certificates, daemon=True),
            threading.Thread(target=self._follow_calls, daemon=True),
        ]
        for thread in threads:
            thread.start()
        return threads

    def end(self) -> None:
        """Watch no longer."""
        self._stop.set()
        for watch in self._open:
            watch.close()

    @property
    def bundle(self) -> frozenset[bytes]:
        """Give the certificates that are in `caBundle` now."""
        return max(self.trusted).authorities

    def pairs(self) -> list[State]:
        """Give for each serving pair the first state that had it."""
        found: dict[bytes, State] = {}
        for kept in self.kept:
            found.setdefault(kept.state.serving.certificate, kept.state)
        return list(found.values())

    def authorities(self) -> list[bytes]:
        """Give the authorities that signed, one after the other."""
        return list(dict.fromkeys(kept.state.active.certificate for kept in self.kept))

    def trusted_at(self, version: int) -> list[Trusted]:
        """Give what the webhook configuration held up to a version, the newest last."""
        return [trusted for trusted in sorted(self.trusted) if trusted.version <= version]

    def _follow_certificates(self) -> None:
        for secret in self._follow(self._certificates):
            self.kept.append(Kept(secret.version, datetime.now(UTC), secret_codec.decode(secret)))

    def _follow_calls(self) -> None:
        for called in self._follow(self._calls):
            (bundle,) = called.bundles.values()
            certificates = frozenset(ca.certificates_in(bundle))
            self.trusted.append(Trusted(called.version, datetime.now(UTC), certificates))

    def _follow(self, kind: ListWatch[_Object]) -> Iterator[_Object]:
        """Give what there is, and then what comes; what is deleted is not told."""
        version = ""
        while not self._stop.is_set():
            try:
                if not version:
                    listing = kind.list()
                    version = listing.version
                    yield from listing.items
                watch = kind.watch(version)
                self._open.append(watch)
                for change in watch:
                    version = change.version
                    if change.item is not None and not change.deleted:
                        yield change.item
            except ClusterError:
                time.sleep(_PAUSE)  # it goes on from the same version: nothing is missed


@contextmanager
def watched(client: Client) -> Iterator[History]:
    """Watch until the end."""
    history = History(client)
    threads = history.begin()
    try:
        yield history
    finally:
        history.end()
        for thread in threads:
            thread.join(timeout=20)
