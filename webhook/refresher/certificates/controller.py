"""The certificate: made and renewed by the replica that writes, handed to its own server by each; and what calls it.

Whoever holds the Lease keeps the Secret with the pair and its authorities, and the webhook configuration's `caBundle`
and owner. Every replica takes the pair from the Secret, and says there which one its server serves. A replica that
keeps no certificate, because it comes from elsewhere, keeps only the owner.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, NamedTuple

from msgspec import structs

from webhook import log
from webhook.errors import CertificateError, ClusterError, Conflict, FileError, Unreachable
from webhook.kube.install import InstallationClient
from webhook.pki import rotation, secret_codec
from webhook.pki.rotation import Observed, State, Step, Terms
from webhook.pki.secret_codec import TlsSecret, WebhookClientConfig
from webhook.refresher.certificates.keypair_dir import KeyPairDir
from webhook.refresher.certificates.local_server import LocalServer
from webhook.refresher.certificates.observed_age import AgeTracker
from webhook.refresher.runtime import reflector
from webhook.refresher.runtime.backoff import FlapBackoff
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.reflector import Reflector
from webhook.refresher.runtime.store import Store
from webhook.refresher.runtime.thread_group import ThreadGroup

_log = logging.getLogger("webhook.refresher")

#: Seconds between two looks, and the longest between two where each has failed.
_INTERVAL, _MAX_INTERVAL = 1.0, 30.0
_CONFLICT_RETRY = 0.2
#: Seconds that a round may take at most: some answers to wait for.
STALL_TIMEOUT = 120.0


class Replica(NamedTuple):
    """Who it is, and whether it writes."""

    name: str
    """The Pod's."""
    leading: Callable[[], bool]


class AppliedConfig(NamedTuple):
    """What is kept in the webhook configuration."""

    bundle: bytes | None
    """None where the bundle is somebody else's business."""
    owner: str


class CertificateController:
    """The duty, with a failure state of its own."""

    def __init__(  # noqa: PLR0913 - what it works with, each part by name
        self,
        *,
        installation: InstallationClient,
        key_pair_dir: KeyPairDir | None,
        terms: Callable[[], Terms],
        replica: Replica,
        events: EventRecorder,
        metrics: Metrics,
        clocks: Clocks,
    ) -> None:
        """Take the cluster, where the pair is put or None where none is kept, and what is asked for its terms now."""
        self._installation = installation
        self._terms = terms
        self._replica = replica
        self._events = events
        self._metrics = metrics
        self._clocks = clocks
        self._changed = Event()
        self._secrets: Store[TlsSecret] = Store(lambda _: "", lambda _: self._changed.set())
        self._configurations: Store[WebhookClientConfig] = Store(lambda _: "", lambda _: self._changed.set())
        self._local_server = self._wire_local_server(key_pair_dir) if key_pair_dir else None
        self._last_state: State | None = None
        """The last state that was well, for the day when the Secret is gone."""
        self._applied: AppliedConfig | None = None
        """What the webhook configuration held when it was last as it should be."""
        self._trusted_pending = False
        """Whether a bundle was written and it is not noted yet when."""
        self._namespace_uid: str | None = None
        self._ages = AgeTracker(clocks.monotonic)
        self._backoff = FlapBackoff()
        self._failures = 0
        self.error: str | None = None
        """What went wrong in the last round."""
        restarts = metrics.watch_restarts
        calling = Reflector(
            installation.webhook_configurations,
            self._configurations,
            self._changed.set,
            restarts.labels("configuration").inc,
        )
        self._reflectors: dict[str, Reflector[Any]] = {"watch of the webhook configuration": calling}
        if key_pair_dir:
            kept = Reflector(
                installation.certificates, self._secrets, self._changed.set, restarts.labels("certificate").inc
            )
            self._reflectors["watch of the certificate"] = kept

    def _wire_local_server(self, key_pair_dir: KeyPairDir) -> LocalServer:
        return LocalServer(
            key_pair_dir=key_pair_dir,
            replica=self._replica.name,
            installation=self._installation,
            secrets=self._secrets,
            metrics=self._metrics,
            clock=self._clocks.monotonic,
        )

    def start(self, threads: ThreadGroup) -> None:
        """Start everything."""
        for name, one in self._reflectors.items():
            threads.start(name, reflector.STALL_TIMEOUT, one.run)
        threads.start("certificates", STALL_TIMEOUT, self.run)

    def reconcile_now(self) -> None:
        """Make a round now."""
        self._changed.set()

    def close(self) -> None:
        """Wake up everything that waits."""
        self.reconcile_now()
        for one in self._reflectors.values():
            one.close()

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Make rounds until told to stop."""
        while not stop.is_set():
            beat()
            self._changed.clear()
            wait = self.reconcile()
            if self._failures:
                stop.wait(wait)
            else:
                self._changed.wait(wait)
        if self._local_server:
            self._local_server.withdraw_report()

    def reconcile(self) -> float:
        """Do what is due; give the seconds until the next round."""
        try:
            self._reconcile()
        except Conflict:
            return _CONFLICT_RETRY  # somebody else wrote it: it is read again
        except (ClusterError, FileError) as error:
            self._failures += 1
            self.error = f"certificate: {error}"
            # While there is no answer, an Event would get none either.
            self._events.warning("CertificateFailed", str(error), event=not isinstance(error, Unreachable))
            return min(_MAX_INTERVAL, _INTERVAL * 2.0 ** min(self._failures - 1, 8))
        if self._failures:
            self._events.resolved(None, "CertificateFailed")
        self._failures, self.error = 0, None
        return _INTERVAL

    def _reconcile(self) -> None:
        now = datetime.fromtimestamp(self._clocks.wall(), UTC)
        secret = self._secrets.get("")
        state = self._decoded(secret)
        seen = self._observe(secret)
        try:
            if self._local_server and state and secret:
                self._local_server.reconcile(secret, state, seen, self._terms(), now)
        finally:
            # What is wrong with this Pod's folder is no reason to let the others' certificate end.
            self._write(secret, state, seen, now)

    def _observe(self, secret: TlsSecret | None) -> Observed:
        """Say for how long what is stored has been as it is; of what is gone, for how long it was."""
        state = self._last_state
        if state is None:
            return Observed(timedelta(), timedelta(), {})
        said = secret_codec.reports(secret) if secret else {}
        kept = {"trusted": (state.cas[-1], state.trusted), "serving": state.serving}
        ages = self._ages.observe({**kept, **{f"replica {name}": report for name, report in said.items()}})
        reports = {name: (report, ages[f"replica {name}"]) for name, report in said.items()}
        return Observed(ages["trusted"], ages["serving"], reports)

    def _write(self, secret: TlsSecret | None, state: State | None, observed: Observed, now: datetime) -> None:
        """Keep what is stored, if this replica is the one that writes and all is known."""
        if not self._replica.leading() or not self._configurations.synced:
            return
        if self._local_server:
            if not self._secrets.synced:
                return
            state = self._write_state(secret, state, observed, now)
        self._apply_ca_bundle(state, now)

    def _decoded(self, secret: TlsSecret | None) -> State | None:
        """Read the state, and remember it; None where there is none, or what is there could not be served."""
        if secret is None:
            return None
        try:
            self._last_state = state = secret_codec.decode(secret)
        except CertificateError as error:
            self._events.warning("CertificateBroken", f"the Secret cannot be used: {error}")
            return None
        return state

    def _write_state(
        self, secret: TlsSecret | None, state: State | None, observed: Observed, now: datetime
    ) -> State | None:
        """Bring the Secret to what is due, and give its state."""
        due = self._due(state, observed, now)
        if due is None:
            return state
        fresh = self._installation.certificate()
        if (fresh and fresh.version) != (secret and secret.version):
            self._take(fresh)
            return None
        self._store(due.state, fresh)
        _log.info(log.event("certificate stored", why=due.why, authorities=len(due.state.cas)))
        self._metrics.certificate_renewals.inc()
        return due.state

    def _due(self, state: State | None, observed: Observed, now: datetime) -> Step | None:
        if state:
            return rotation.next_step(state, observed, self._terms(), now)
        if self._last_state:
            return rotation.restore(self._last_state, observed, self._terms(), now)
        called = self._configurations.get("")
        found = next(iter(called.bundles.values()), b"") if called else b""
        return rotation.bootstrap(found, self._terms(), now)

    def _take(self, secret: TlsSecret | None) -> None:
        """Take the Secret as it was read; that it is gone the watch tells, and until then there is nothing to do."""
        if secret is not None:
            self._secrets.put(secret)

    def _store(self, state: State, over: TlsSecret | None) -> None:
        self._secrets.put(self._installation.store_certificate(*secret_codec.encode(state), over))
        self._last_state = state

    def _apply_ca_bundle(self, state: State | None, now: datetime) -> None:
        """Keep the webhook configuration's `caBundle` and owner, and note since when the bundle has been there."""
        called = self._configurations.get("")
        if self._local_server and state is None:
            return
        if called is None:
            # Nobody calls, and a configuration that is made gets the bundle at once.
            self._note_trusted(state, now)
            return
        wanted = AppliedConfig(state.bundle if state else None, self._owner())
        differs = state is not None and any(one != state.bundle for one in called.bundles.values())
        if differs or wanted.owner not in called.owners:
            repair = wanted == self._applied
            if (repair and self._in_backoff()) or not self._is_as_stored(state):
                return
            self._configurations.put(self._installation.apply_ca_bundle(called, wanted.bundle, wanted.owner))
            _log.info(log.event(f"webhook configuration {'repaired' if repair else 'written'}", ca_bundle=differs))
            self._trusted_pending = self._trusted_pending or differs
            if repair:
                self._backoff.record(self._clocks.monotonic())
                self._metrics.ca_bundle_repairs.inc()
        self._applied = wanted
        self._note_trusted(state, now)

    def _in_backoff(self) -> bool:
        """Tell whether a repair has to wait, because somebody keeps undoing them."""
        wait = self._backoff.delay(self._clocks.monotonic())
        if wait:
            note = f"somebody keeps changing caBundle or owner: they are put back ever later, next in {wait:.0f} s"
            self._events.warning("WebhookConfigurationContended", note)
        return wait > 0

    def _is_as_stored(self, state: State | None) -> bool:
        """Read the Secret afresh, and tell whether it holds this state: an older one must not go into `caBundle`."""
        if state is None:
            return True
        fresh = self._installation.certificate()
        if fresh is not None and self._decoded(fresh) == state:
            return True
        self._take(fresh)
        return False

    def _note_trusted(self, state: State | None, now: datetime) -> None:
        """Note that the API servers have the bundle since now, unless that stands there and still holds.

        The time is for people: whoever waits for the overlap counts from when it saw the note, by its own clock.
        """
        if state is None or (state.trusted is not None and not self._trusted_pending):
            return
        secret = self._secrets.get("")
        if secret is not None and self._decoded(secret) == state:
            self._store(structs.replace(state, trusted=now.replace(microsecond=0)), secret)
            self._trusted_pending = False

    def _owner(self) -> str:
        """Give our Namespace's uid: it is asked once, for while this process runs, it stays."""
        if self._namespace_uid is None:
            self._namespace_uid = self._installation.namespace_uid()
        return self._namespace_uid
