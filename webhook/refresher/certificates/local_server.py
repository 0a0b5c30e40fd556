"""The server of this Pod: install the stored key pair when due, and report to all replicas what is served."""

import logging
from collections.abc import Callable
from datetime import datetime

from webhook import log
from webhook.errors import ClusterError
from webhook.kube.install import InstallationClient
from webhook.pki import ca, rotation, secret_codec
from webhook.pki.rotation import CertificateSpec, Observed, Report, State
from webhook.pki.secret_codec import TlsSecret
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.store import Store

_log = logging.getLogger("webhook.refresher")


class LocalServer:
    """Installs and reports the key pair of this Pod's server, on every replica. `clock` returns monotonic seconds."""

    def __init__(  # noqa: PLR0913 - dependencies, each by name
        self,
        *,
        key_pair_dir: KeyPairDir,
        replica: str,
        installation: InstallationClient,
        secrets: Store[TlsSecret],
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._key_pair_dir = key_pair_dir
        self._replica = replica
        self._installation = installation
        self._secrets = secrets
        self._metrics = metrics
        self._clock = clock
        self._next_report = float("-inf")
        """When to report the served certificate again even if it is the same."""

    def reconcile(
        self, secret: TlsSecret, state: State, observed: Observed, spec: CertificateSpec, now: datetime
    ) -> None:
        """Install the stored key pair if that is due, and report which one is served.

        Raises `FileError` if the files cannot be written, `ClusterError` if the report cannot.
        """
        self._install(state, observed, spec, now)
        self._report(secret, state, now)

    def _install(self, state: State, observed: Observed, spec: CertificateSpec, now: datetime) -> None:
        held = self._key_pair_dir.read()
        if rotation.is_due_to_serve(held, state, observed, spec, now):
            self._key_pair_dir.write(state.serving)
            held = state.serving
            _log.info(log.event("certificate installed", fingerprint=ca.fingerprint(held.certificate)))
        if held == state.serving:
            self._metrics.certificate_expiry.set(ca.validity(held.certificate).ends.timestamp())

    def _report(self, secret: TlsSecret, state: State, now: datetime) -> None:
        reported = secret_codec.reports(secret).get(self._replica)
        is_due = self._clock() >= self._next_report
        if not is_due and reported is not None and rotation.is_current(reported, state):
            return
        serving = self._key_pair_dir.fingerprint()
        if serving and (is_due or reported is None or serving != reported.serving):
            report = secret_codec.report(Report(serving, now))
            self._secrets.put(self._installation.report_certificate(self._replica, report))
            self._next_report = self._clock() + rotation.REPORT_INTERVAL.total_seconds()

    def withdraw_report(self) -> None:
        """Remove the report, so that no replica waits for this one."""
        secret = self._secrets.get("")
        if secret is not None and self._replica in secret_codec.reports(secret):
            try:
                self._installation.report_certificate(self._replica, None, leaving=True)
            except ClusterError as error:
                _log.info(log.event("could not remove certificate report", error=error))
