"""The server of this Pod: handed the pair when it is time, and asked which one it serves, for all replicas to know."""

import logging
from collections.abc import Callable
from datetime import datetime

from webhook import log
from webhook.errors import ClusterError
from webhook.kube.install import Installation
from webhook.pki import ca, rotation, secret_codec
from webhook.pki.rotation import Report, Seen, State, Terms
from webhook.pki.secret_codec import Stored
from webhook.refresher.certificates.keypair_dir import ServedPair
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.store import Store

_log = logging.getLogger("webhook.refresher")


class OwnServer:
    """What a replica does for its own server, whether it is the one that writes or not."""

    def __init__(  # noqa: PLR0913 - what it works with, each part by name
        self,
        *,
        pair: ServedPair,
        replica: str,
        installation: Installation,
        secrets: Store[Stored],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Take where the pair is put, the replica's name, where what it says is written and known from, and the clock.

        The clock is the monotonic one.
        """
        self._pair = pair
        self._replica = replica
        self._installation = installation
        self._secrets = secrets
        self._metrics = metrics
        self._clock = clock
        self._again: float | None = None
        """When what is served is said again even if it is the same; None: it was not said yet."""

    def look_after(self, secret: Stored, state: State, seen: Seen, terms: Terms, now: datetime) -> None:
        """Hand the stored pair over if it is time, and say which one is served.

        Raises `FileError` where the pair cannot be put, and `ClusterError` where nothing can be said.
        """
        self._hand_over(state, seen, terms, now)
        self._say(secret, state, now)

    def _hand_over(self, state: State, seen: Seen, terms: Terms, now: datetime) -> None:
        held = self._pair.read()
        if rotation.is_due_to_serve(held, state, seen, terms, now):
            self._pair.write(state.serving)
            held = state.serving
            fingerprint = ca.fingerprint(held.certificate)
            _log.info(log.event("certificate handed to the server", fingerprint=fingerprint))
        if held == state.serving:
            self._metrics.certificate_expiry.set(ca.span(held.certificate).ends.timestamp())

    def _say(self, secret: Stored, state: State, now: datetime) -> None:
        """Say it, unless that has been said lately."""
        said = secret_codec.reports(secret).get(self._replica)
        wanted = ca.fingerprint(state.serving.certificate)
        lately = self._again is not None and self._clock() < self._again
        if said and said.serving == wanted and lately:
            return
        serving = self._pair.fingerprint()
        if serving and (said is None or serving != said.serving or not lately):
            self._secrets.put(self._installation.say(self._replica, secret_codec.report(Report(serving, now))))
            self._again = self._clock() + rotation.REPEATED.total_seconds()

    def leave(self) -> None:
        """Take back what was said, so that nobody waits for this replica."""
        secret = self._secrets.get("")
        if secret is not None and self._replica in secret_codec.reports(secret):
            try:
                self._installation.say(self._replica, None, leaving=True)
            except ClusterError as error:
                _log.info("%s", error)
