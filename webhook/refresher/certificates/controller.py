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
from webhook.kube.install import Installation
from webhook.pki import rotation, secret_codec
from webhook.pki.rotation import Seen, State, Step, Terms
from webhook.pki.secret_codec import Called, Stored
from webhook.refresher.certificates.keypair_dir import ServedPair
from webhook.refresher.certificates.local_server import OwnServer
from webhook.refresher.certificates.observed_age import Witness
from webhook.refresher.runtime import reflector
from webhook.refresher.runtime.backoff import Contention
from webhook.refresher.runtime.clock import Clocks
from webhook.refresher.runtime.event_recorder import Reporter
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.reflector import Watching
from webhook.refresher.runtime.store import Store
from webhook.refresher.runtime.thread_group import Threads

_log = logging.getLogger("webhook.refresher")

#: Seconds between two looks, and the longest between two where each has failed.
_LOOK, _LATEST = 1.0, 30.0
_AGAIN = 0.2
#: Seconds that a round may take at most: some answers to wait for.
STALLED = 120.0


class Replica(NamedTuple):
    """Who it is, and whether it writes."""

    name: str
    """The Pod's."""
    leading: Callable[[], bool]


class Kept(NamedTuple):
    """What is kept in the webhook configuration."""

    bundle: bytes | None
    """None where the bundle is somebody else's business."""
    owner: str


class Certificates:
    """The duty, with a failure state of its own."""

    def __init__(  # noqa: PLR0913 - what it works with, each part by name
        self,
        *,
        installation: Installation,
        served: ServedPair | None,
        terms: Callable[[], Terms],
        replica: Replica,
        reporter: Reporter,
        metrics: Metrics,
        clocks: Clocks,
    ) -> None:
        """Take the cluster, where the pair is put or None where none is kept, and what is asked for its terms now."""
        self._installation = installation
        self._terms = terms
        self._replica = replica
        self._reporter = reporter
        self._metrics = metrics
        self._clocks = clocks
        self._news = Event()
        self._secrets: Store[Stored] = Store(lambda _: "", lambda _: self._news.set())
        self._calls: Store[Called] = Store(lambda _: "", lambda _: self._news.set())
        self._own = self._wire_own_server(served) if served else None
        self._remembered: State | None = None
        """The last state that was well, for the day when the Secret is gone."""
        self._kept: Kept | None = None
        """What the webhook configuration held when it was last as it should be."""
        self._untold = False
        """Whether a bundle was written and it is not noted yet when."""
        self._namespace_uid: str | None = None
        self._witness = Witness(clocks.monotonic)
        self._contention = Contention()
        self._failures = 0
        self.fault: str | None = None
        """What went wrong in the last round."""
        restarts = metrics.watch_restarts
        calling = Watching(installation.calls, self._calls, self._news.set, restarts.labels("configuration").inc)
        self._watching: dict[str, Watching[Any]] = {"watch of the webhook configuration": calling}
        if served:
            kept = Watching(
                installation.certificates, self._secrets, self._news.set, restarts.labels("certificate").inc
            )
            self._watching["watch of the certificate"] = kept

    def _wire_own_server(self, served: ServedPair) -> OwnServer:
        return OwnServer(
            pair=served,
            replica=self._replica.name,
            installation=self._installation,
            secrets=self._secrets,
            metrics=self._metrics,
            clock=self._clocks.monotonic,
        )

    def start(self, threads: Threads) -> None:
        """Start everything."""
        for name, one in self._watching.items():
            threads.start(name, reflector.STALLED, one.run)
        threads.start("certificates", STALLED, self.run)

    def look(self) -> None:
        """Make a round now."""
        self._news.set()

    def close(self) -> None:
        """Wake up everything that waits."""
        self.look()
        for one in self._watching.values():
            one.close()

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Make rounds until told to stop."""
        while not stop.is_set():
            beat()
            self._news.clear()
            wait = self.round()
            if self._failures:
                stop.wait(wait)
            else:
                self._news.wait(wait)
        if self._own:
            self._own.leave()

    def round(self) -> float:
        """Do what is due; give the seconds until the next round."""
        try:
            self._round()
        except Conflict:
            return _AGAIN  # somebody else wrote it: it is read again
        except (ClusterError, FileError) as error:
            self._failures += 1
            self.fault = f"certificate: {error}"
            # While there is no answer, an Event would get none either.
            self._reporter.warn("CertificateFailed", str(error), event=not isinstance(error, Unreachable))
            return min(_LATEST, _LOOK * 2.0 ** min(self._failures - 1, 8))
        if self._failures:
            self._reporter.settled(None, "CertificateFailed")
        self._failures, self.fault = 0, None
        return _LOOK

    def _round(self) -> None:
        now = datetime.fromtimestamp(self._clocks.wall(), UTC)
        secret = self._secrets.get("")
        state = self._decoded(secret)
        seen = self._look(secret)
        try:
            if self._own and state and secret:
                self._own.look_after(secret, state, seen, self._terms(), now)
        finally:
            # What is wrong with this Pod's folder is no reason to let the others' certificate end.
            self._keep(secret, state, seen, now)

    def _look(self, secret: Stored | None) -> Seen:
        """Say for how long what is stored has been as it is; of what is gone, for how long it was."""
        state = self._remembered
        if state is None:
            return Seen(timedelta(), timedelta(), {})
        said = secret_codec.reports(secret) if secret else {}
        kept = {"trusted": (state.authorities[-1], state.trusted), "serving": state.serving}
        ages = self._witness.look({**kept, **{f"replica {name}": report for name, report in said.items()}})
        reports = {name: (report, ages[f"replica {name}"]) for name, report in said.items()}
        return Seen(ages["trusted"], ages["serving"], reports)

    def _keep(self, secret: Stored | None, state: State | None, seen: Seen, now: datetime) -> None:
        """Keep what is stored, if this replica is the one that writes and all is known."""
        if not self._replica.leading() or not self._calls.complete:
            return
        if self._own:
            if not self._secrets.complete:
                return
            state = self._keep_state(secret, state, seen, now)
        self._keep_called(state, now)

    def _decoded(self, secret: Stored | None) -> State | None:
        """Read the state, and remember it; None where there is none, or what is there could not be served."""
        if secret is None:
            return None
        try:
            self._remembered = state = secret_codec.decode(secret)
        except CertificateError as error:
            self._reporter.warn("CertificateBroken", f"the Secret cannot be used: {error}")
            return None
        return state

    def _keep_state(self, secret: Stored | None, state: State | None, seen: Seen, now: datetime) -> State | None:
        """Bring the Secret to what is due, and give its state."""
        due = self._due(state, seen, now)
        if due is None:
            return state
        fresh = self._installation.certificate()
        if (fresh and fresh.version) != (secret and secret.version):
            self._take(fresh)
            return None
        self._store(due.state, fresh)
        _log.info(log.event("certificate stored", why=due.why, authorities=len(due.state.authorities)))
        self._metrics.certificate_renewals.inc()
        return due.state

    def _due(self, state: State | None, seen: Seen, now: datetime) -> Step | None:
        if state:
            return rotation.step(state, seen, self._terms(), now)
        if self._remembered:
            return rotation.again(self._remembered, seen, self._terms(), now)
        called = self._calls.get("")
        found = next(iter(called.bundles.values()), b"") if called else b""
        return rotation.first(found, self._terms(), now)

    def _take(self, secret: Stored | None) -> None:
        """Take the Secret as it was read; that it is gone the watch tells, and until then there is nothing to do."""
        if secret is not None:
            self._secrets.put(secret)

    def _store(self, state: State, over: Stored | None) -> None:
        self._secrets.put(self._installation.store_certificate(*secret_codec.encode(state), over))
        self._remembered = state

    def _keep_called(self, state: State | None, now: datetime) -> None:
        """Keep the webhook configuration's `caBundle` and owner, and note since when the bundle has been there."""
        called = self._calls.get("")
        if self._own and state is None:
            return
        if called is None:
            # Nobody calls, and a configuration that is made gets the bundle at once.
            self._note_trusted(state, now)
            return
        wanted = Kept(state.bundle if state else None, self._owner())
        differs = state is not None and any(one != state.bundle for one in called.bundles.values())
        if differs or wanted.owner not in called.owners:
            repair = wanted == self._kept
            if (repair and self._in_truce()) or not self._is_as_stored(state):
                return
            self._calls.put(self._installation.keep_called(called, wanted.bundle, wanted.owner))
            _log.info(log.event(f"webhook configuration {'repaired' if repair else 'written'}", ca_bundle=differs))
            self._untold = self._untold or differs
            if repair:
                self._contention.repaired(self._clocks.monotonic())
                self._metrics.ca_bundle_repairs.inc()
        self._kept = wanted
        self._note_trusted(state, now)

    def _in_truce(self) -> bool:
        """Tell whether a repair has to wait, because somebody keeps undoing them."""
        wait = self._contention.hold(self._clocks.monotonic())
        if wait:
            note = f"somebody keeps changing caBundle or owner: they are put back ever later, next in {wait:.0f} s"
            self._reporter.warn("WebhookConfigurationContended", note)
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
        if state is None or (state.trusted is not None and not self._untold):
            return
        secret = self._secrets.get("")
        if secret is not None and self._decoded(secret) == state:
            self._store(structs.replace(state, trusted=now.replace(microsecond=0)), secret)
            self._untold = False

    def _owner(self) -> str:
        """Give our Namespace's uid: it is asked once, for while this process runs, it stays."""
        if self._namespace_uid is None:
            self._namespace_uid = self._installation.namespace_uid()
        return self._namespace_uid
