"""The controller of the webhook's certificate, and of the webhook configuration's `caBundle` and owner.

The leader maintains the Secret with the key pair and its CAs, and the webhook configuration. Every replica installs the
Secret's key pair for its own server, and reports in the Secret which certificate that server serves. If the certificate
is issued elsewhere, only the owner is maintained.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, NamedTuple

from msgspec import structs

from webhook import log
from webhook.constants import CERTIFICATE
from webhook.errors import CertificateError, ClusterError, Conflict, FileError, Unreachable
from webhook.kube.install import InstallationClient
from webhook.pki import rotation, secret_codec
from webhook.pki.rotation import CertificateSpec, Observed, State, Step
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.certificates.local_server import LocalServer
from webhook.refresher.certificates.observed_age import AgeTracker
from webhook.refresher.runtime import reflector
from webhook.refresher.runtime.backoff import FlapBackoff
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.reflector import Reflector
from webhook.refresher.runtime.store import Store
from webhook.refresher.runtime.thread_group import ThreadGroup

_log = logging.getLogger("webhook.refresher")

#: Seconds between two iterations: normally, at most while they fail, and after a conflict.
_INTERVAL, _MAX_INTERVAL, _CONFLICT_RETRY = 1.0, 30.0, 0.2
#: The longest time of an iteration, seconds: it waits for several responses.
STALL_TIMEOUT = 120.0


class Replica(NamedTuple):
    """A replica, and whether it writes."""

    name: str
    """The Pod's name."""
    leading: Callable[[], bool]


class _WebhookConfig(NamedTuple):
    """The desired state of the webhook configuration."""

    bundle: bytes | None
    """None if the bundle is managed elsewhere."""
    owner: str


class CertificateController:
    """Reconciles the certificate's Secret and the webhook configuration, with a failure state of its own.

    The key pair is written to `key_pair_dir`; None if the certificate is managed elsewhere. `spec` returns the current
    settings.
    """

    def __init__(  # noqa: PLR0913 - dependencies, each by name
        self,
        *,
        installation: InstallationClient,
        key_pair_dir: KeyPairDir | None,
        spec: Callable[[], CertificateSpec],
        replica: Replica,
        events: EventRecorder,
        metrics: Metrics,
        clocks: Clocks,
    ) -> None:
        self._installation = installation
        self._spec = spec
        self._replica = replica
        self._events = events
        self._metrics = metrics
        self._clocks = clocks
        self._wake_up = Event()
        self._secrets: Store[TlsSecret] = Store(lambda _: "", lambda _: self._wake_up.set())
        self._configs: Store[WebhookClientConfig] = Store(lambda _: "", lambda _: self._wake_up.set())
        self._last_state: State | None = None
        """The last valid state, in case the Secret is deleted."""
        self._synced: _WebhookConfig | None = None
        """The desired state that the webhook configuration last matched."""
        self._trusted_pending = False
        """Whether a bundle was written and the time of that is not recorded yet."""
        self._namespace_uid: str | None = None
        self._ages = AgeTracker(clocks.monotonic)
        self._backoff = FlapBackoff()
        self._failures = 0
        self.error: str | None = None
        """Why the last iteration failed."""
        restarts, wake_up = metrics.watch_restarts, self._wake_up.set
        config = Reflector(
            installation.webhook_configurations, self._configs, wake_up, restarts.labels("configuration").inc
        )
        self._reflectors: dict[str, Reflector[Any]] = {"watch of the webhook configuration": config}
        self._local_server: LocalServer | None = None
        if key_pair_dir:
            secret = Reflector(installation.certificates, self._secrets, wake_up, restarts.labels("certificate").inc)
            self._reflectors["watch of the certificate"] = secret
            self._local_server = LocalServer(
                key_pair_dir=key_pair_dir,
                replica=replica.name,
                installation=installation,
                secrets=self._secrets,
                metrics=metrics,
                clock=clocks.monotonic,
            )

    def start(self, threads: ThreadGroup) -> None:
        """Start the watches and the reconcile loop."""
        for name, one in self._reflectors.items():
            threads.start(name, reflector.STALL_TIMEOUT, one.run)
        threads.start("certificates", STALL_TIMEOUT, self.run)

    def reconcile_now(self) -> None:
        """Start the next iteration now."""
        self._wake_up.set()

    def close(self) -> None:
        """Wake up the waiting loops, so that they end."""
        self._wake_up.set()
        for one in self._reflectors.values():
            one.close()

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Reconcile until told to stop."""
        while not stop.is_set():
            beat()
            self._wake_up.clear()
            wait = self.reconcile()
            (stop if self._failures else self._wake_up).wait(wait)
        if self._local_server:
            self._local_server.withdraw_report()

    def reconcile(self) -> float:
        """Reconcile once; return the seconds until the next iteration."""
        try:
            self._reconcile()
        except Conflict:
            return _CONFLICT_RETRY  # another client wrote it: read it again
        except (ClusterError, FileError) as error:
            self._failures += 1
            self.error = str(error)
            # While the API server does not answer, it would not accept an Event either.
            note = f"Could not update the certificate or the webhook configuration, retrying: {error}."
            self._events.report(EventReason.CERTIFICATE_FAILED, note, event=not isinstance(error, Unreachable))
            return min(_MAX_INTERVAL, _INTERVAL * 2.0 ** min(self._failures - 1, 8))
        if self._failures:
            self._events.resolved(None, EventReason.CERTIFICATE_FAILED)
        self._failures, self.error = 0, None
        return _INTERVAL

    def _reconcile(self) -> None:
        now = datetime.fromtimestamp(self._clocks.wall(), UTC)
        secret = self._secrets.get("")
        state = self._decode(secret)
        observed = self._observe(secret)
        try:
            if self._local_server and state and secret:
                self._local_server.reconcile(secret, state, observed, self._spec(), now)
        finally:
            # A problem with this Pod's files must not let the other replicas' certificate expire.
            self._write(secret, state, observed, now)

    def _observe(self, secret: TlsSecret | None) -> Observed:
        """Return how long the stored state has been unchanged; deleting the Secret does not count as a change."""
        state = self._last_state
        if state is None:
            return Observed(timedelta(), timedelta(), {})
        reports = secret_codec.reports(secret) if secret else {}
        values = {"trusted": (state.cas[-1], state.trusted), "serving": state.serving}
        ages = self._ages.observe({**values, **{f"replica {name}": report for name, report in reports.items()}})
        aged = {name: (report, ages[f"replica {name}"]) for name, report in reports.items()}
        return Observed(ages["trusted"], ages["serving"], aged)

    def _write(self, secret: TlsSecret | None, state: State | None, observed: Observed, now: datetime) -> None:
        """Write what is due, if this replica leads and everything has been listed."""
        if not self._replica.leading() or not self._configs.synced:
            return
        if self._local_server:
            if not self._secrets.synced:
                return
            state = self._write_state(secret, state, observed, now)
        self._apply_ca_bundle(state, now)

    def _decode(self, secret: TlsSecret | None) -> State | None:
        """Decode and remember the state; None if there is no Secret, or an invalid one."""
        if secret is None:
            return None
        try:
            self._last_state = state = secret_codec.decode(secret)
        except CertificateError as error:
            note = f"Secret {CERTIFICATE} has no usable certificate and is replaced: {error}."
            self._events.report(EventReason.CERTIFICATE_BROKEN, note)
            return None
        return state

    def _write_state(
        self, secret: TlsSecret | None, state: State | None, observed: Observed, now: datetime
    ) -> State | None:
        """Store the next state if that is due; return the current one, None if another client changed the Secret."""
        due = self._due(state, observed, now)
        if due is None:
            return state
        fresh = self._installation.certificate()
        if (fresh and fresh.version) != (secret and secret.version):
            self._update(fresh)
            return None
        self._store(due.state, fresh)
        _log.info(log.event("certificate stored", why=due.why, cas=len(due.state.cas)))
        self._metrics.certificate_renewals.inc()
        return due.state

    def _due(self, state: State | None, observed: Observed, now: datetime) -> Step | None:
        if state:
            return rotation.next_step(state, observed, self._spec(), now)
        if self._last_state:
            return rotation.restore(self._last_state, observed, self._spec(), now)
        config = self._configs.get("")
        found = next(iter(config.bundles.values()), b"") if config else b""
        return rotation.bootstrap(found, self._spec(), now)

    def _update(self, secret: TlsSecret | None) -> None:
        """Put a Secret that was read again into the store; a deletion is left to the watch."""
        if secret is not None:
            self._secrets.put(secret)

    def _store(self, state: State, over: TlsSecret | None) -> None:
        self._secrets.put(self._installation.store_certificate(*secret_codec.encode(state), over))
        self._last_state = state

    def _apply_ca_bundle(self, state: State | None, now: datetime) -> None:
        """Write the webhook configuration's `caBundle` and owner, and record since when the bundle has been there."""
        config = self._configs.get("")
        if self._local_server and state is None:
            return
        if config is None:
            # Without it no API server calls the webhook, and a new one gets the bundle at once.
            self._note_trusted(state, now)
            return
        wanted = _WebhookConfig(state.bundle if state else None, self._owner())
        differs = state is not None and any(one != state.bundle for one in config.bundles.values())
        if differs or wanted.owner not in config.owners:
            repair = wanted == self._synced
            if (repair and self._in_backoff()) or not self._is_as_stored(state):
                return
            self._configs.put(self._installation.apply_ca_bundle(config, wanted.bundle, wanted.owner))
            _log.info(log.event("webhook configuration updated", repair=repair, ca_bundle=differs))
            self._trusted_pending = self._trusted_pending or differs
            if repair:
                self._backoff.record(self._clocks.monotonic())
                self._metrics.ca_bundle_repairs.inc()
        self._synced = wanted
        self._note_trusted(state, now)

    def _in_backoff(self) -> bool:
        """Whether a repair has to wait, because another client keeps undoing repairs."""
        wait = self._backoff.delay(self._clocks.monotonic())
        if wait:
            note = (
                "Another client keeps changing caBundle or ownerReferences of the MutatingWebhookConfiguration. "
                f"The next repair is in {wait:.0f} s. metadata.managedFields names the client."
            )
            self._events.report(EventReason.WEBHOOK_CONFIGURATION_CONTENDED, note)
        return wait > 0

    def _is_as_stored(self, state: State | None) -> bool:
        """Whether the Secret, read again, has this state: an outdated one must not get into `caBundle`."""
        if state is None:
            return True
        fresh = self._installation.certificate()
        if fresh is not None and self._decode(fresh) == state:
            return True
        self._update(fresh)
        return False

    def _note_trusted(self, state: State | None, now: datetime) -> None:
        """Record since when the API servers have had the bundle, unless that is recorded and still correct.

        The time is informative: each replica measures the overlap by its own clock, from when it saw the record.
        """
        if state is None or (state.trusted is not None and not self._trusted_pending):
            return
        secret = self._secrets.get("")
        if secret is not None and self._decode(secret) == state:
            self._store(structs.replace(state, trusted=now.replace(microsecond=0)), secret)
            self._trusted_pending = False

    def _owner(self) -> str:
        """Return our Namespace's uid, read once: it does not change while this process runs."""
        if self._namespace_uid is None:
            self._namespace_uid = self._installation.namespace_uid()
        return self._namespace_uid
