"""The server of this Pod: handed the pair when it is time, and asked which one it serves, for all replicas to know."""

import logging
from collections.abc import Callable
from datetime import datetime

from webhook import log
from webhook.errors import ClusterError
from webhook.kube.install import InstallationClient
from webhook.pki import ca, rotation, secret_codec
from webhook.pki.rotation import Observed, Report, State, Terms
from webhook.pki.secret_codec import TlsSecret
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.store import Store

_log = logging.getLogger("webhook.refresher")


class LocalServer:
    """What a replica does for its own server, whether it is the one that writes or not."""

    def __init__(  # noqa: PLR0913 - what it works with, each part by name
        self,
        *,
        key_pair_dir: KeyPairDir,
        replica: str,
        installation: InstallationClient,
        secrets: Store[TlsSecret],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Take where the pair is put, the replica's name, where what it says is written and known from, and the clock.

        The clock is the monotonic one.
        """
        self._key_pair_dir = key_pair_dir
        self._replica = replica
        self._installation = installation
        self._secrets = secrets
        self._metrics = metrics
        self._clock = clock
        self._next_report: float | None = None
        """When what is served is said again even if it is the same; None: it was not said yet."""

    def reconcile(self, secret: TlsSecret, state: State, observed: Observed, terms: Terms, now: datetime) -> None:
        """Hand the stored pair over if it is time, and say which one is served.

        Raises `FileError` where the pair cannot be put, and `ClusterError` where nothing can be said.
        """
        self._install(state, observed, terms, now)
        self._report(secret, state, now)

    def _install(self, state: State, observed: Observed, terms: Terms, now: datetime) -> None:
        held = self._key_pair_dir.read()
        if rotation.is_due_to_serve(held, state, observed, terms, now):
            self._key_pair_dir.write(state.serving)
            held = state.serving
            fingerprint = ca.fingerprint(held.certificate)
            _log.info(log.event("certificate handed to the server", fingerprint=fingerprint))
        if held == state.serving:
            self._metrics.certificate_expiry.set(ca.validity(held.certificate).ends.timestamp())

    def _report(self, secret: TlsSecret, state: State, now: datetime) -> None:
        """Say it, unless that has been said lately."""
        said = secret_codec.reports(secret).get(self._replica)
        wanted = ca.fingerprint(state.serving.certificate)
        lately = self._next_report is not None and self._clock() < self._next_report
        if said and said.serving == wanted and lately:
            return
        serving = self._key_pair_dir.fingerprint()
        if serving and (said is None or serving != said.serving or not lately):
            self._secrets.put(
                self._installation.report_certificate(self._replica, secret_codec.report(Report(serving, now)))
            )
            self._next_report = self._clock() + rotation.REPORT_INTERVAL.total_seconds()

    def withdraw_report(self) -> None:
        """Take back what was said, so that nobody waits for this replica."""
        secret = self._secrets.get("")
        if secret is not None and self._replica in secret_codec.reports(secret):
            try:
                self._installation.report_certificate(self._replica, None, leaving=True)
            except ClusterError as error:
                _log.info("%s", error)
