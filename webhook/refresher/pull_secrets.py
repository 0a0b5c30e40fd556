"""The controller of the pull secrets: reconciles each namespace in which something changes."""

import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from msgspec import structs

from webhook import log
from webhook.admission.namespace_filter import NamespaceFilter
from webhook.errors import ClusterError, Conflict, Forbidden, Invalid, NotFound, TooLarge, Unreachable
from webhook.kube.api import Cluster
from webhook.pull_secret import manifest, reconcile
from webhook.pull_secret.manifest import Published, PullSecret
from webhook.pull_secret.reconcile import TOO_LARGE, Action, ActionKind, GracePeriod, Namespace, NamespaceState, Secret
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.runtime.backoff import FlapBackoff
from webhook.refresher.runtime.clock_jump import ClockJumpGuard
from webhook.refresher.runtime.event_reasons import EventReason
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.store import Store
from webhook.refresher.runtime.work_queue import WorkQueue
from webhook.settings import PullSecretSettings
from webhook.timestamps import format_rfc3339, parse_rfc3339

_log = logging.getLogger("webhook.refresher")

WORKERS = 8
#: The longest time between two heartbeats, seconds: a worker waits a second for work, or half a minute for responses.
STALL_TIMEOUT = 120.0
_POLL_INTERVAL = 1.0

#: Seconds until a failed namespace is tried again: the first wait, doubled each time, and the longest ones: for an API
#: server that does not answer (the reflectors notice the end of an outage), and for one that refuses.
_MIN_DELAY, _MAX_DELAY_UNREACHABLE, _MAX_DELAY_REFUSED = 0.25, 30.0, 300.0

#: Seconds until a failed list is tried again.
_RELIST_RETRY = 5.0

#: Namespaces whose pull secret is read to learn what is published.
_SAMPLE = 9

#: Failures in a row after which they are reported: the first may be due to a namespace that is being deleted.
_REPORT_AFTER = 3


@dataclass
class _Record:
    """The state of a namespace. Only the worker that processes the namespace may access it."""

    read: Secret | None = None
    """The Secret with its content, as last read or written."""
    synced: tuple[PullSecret, str | None] | None = None
    """The content when the Secret was last current, and since when the namespace was not selected."""
    failures: int = 0
    backoff: FlapBackoff = field(default_factory=FlapBackoff)


class PullSecretController:
    """Reconciles namespaces with several workers.

    `pull_secret` is what to publish until `publish` changes it. `leading` returns whether this replica writes. `resync`
    lists everything every `resync_interval` seconds.
    """

    def __init__(  # noqa: PLR0913 - dependencies, each by name
        self,
        *,
        cluster: Cluster,
        settings: PullSecretSettings,
        namespace_filter: NamespaceFilter,
        events: EventRecorder,
        metrics: Metrics,
        clock_guard: ClockJumpGuard,
        entitlements: Entitlements,
        leading: Callable[[], bool],
        resync_interval: float,
        pull_secret: PullSecret | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._namespace_filter = namespace_filter
        self._events = events
        self._metrics = metrics
        self._clock_guard = clock_guard
        self._entitlements = entitlements
        self._leading = leading
        self._resync_interval = resync_interval
        self._clock = clock_guard.clocks.monotonic
        self._wall = clock_guard.clocks.wall
        self._queue = WorkQueue(self._clock)
        self._records: dict[str, _Record] = {}
        self._selected_at: dict[str, float] = {}
        """Since when namespaces have been waiting for their pull secret."""
        self.namespaces: Store[Namespace] = Store(lambda item: item.name, self._namespace_changed)
        self.secrets: Store[Secret] = Store(lambda item: item.namespace, self._secret_changed)
        self.pull_secret = pull_secret
        self.failing: dict[str, str] = {}
        """Namespaces that cannot be reconciled, with the reason."""
        self.foreign: dict[str, str] = {}
        """Selected namespaces where a Secret of this name is left unchanged, with the reason."""
        self.contended: set[str] = set()
        """Namespaces whose pull secret another client keeps changing."""
        self.list_failure: str | None = None
        """Why the last list failed."""

    def start(self) -> None:
        """Start writing: check every namespace, whatever was known before."""
        self._records.clear()
        self.enqueue_all()

    def stop(self) -> None:
        """Stop writing: another replica decides what to publish, and reports what fails."""
        self.pull_secret = None
        self.failing.clear()
        self.foreign.clear()
        self.contended.clear()

    def publish(self, pull_secret: PullSecret) -> None:
        """Publish a pull secret in every selected namespace."""
        self.pull_secret = pull_secret
        self.enqueue_all()

    def enqueue_all(self) -> None:
        """Reconcile every namespace now, including those that wait for a retry."""
        for name in {*self.namespaces.names(), *self.secrets.names()}:
            self._queue.add(name)

    def relist(self) -> None:
        """List all namespaces and pull secrets, and reconcile them. Raises `ClusterError`."""
        try:
            self.namespaces.refresh(self._cluster.namespaces.list)
            self.secrets.refresh(self._cluster.secrets.list)
        except ClusterError as error:
            self.list_failure = str(error)
            raise
        self.list_failure = None
        self.enqueue_all()

    def resync(self, stop: Event, beat: Callable[[], None]) -> None:
        """List everything at intervals, in case a watch has missed a change, until told to stop."""
        due = self._clock() + self._resync_interval
        while not stop.wait(_POLL_INTERVAL):
            beat()
            if self._clock() < due:
                continue
            try:
                self.relist()
            except ClusterError:
                due = self._clock() + _RELIST_RETRY
            else:
                due = self._clock() + self._resync_interval

    def published(self) -> Published | None:
        """Return the most common content of a random sample of our pull secrets, None if there are none.

        A random sample, because the owner of a namespace can change the content there. Raises `ClusterError`.
        """
        names = [name for name in self.secrets.names() if self._is_ours(name)]
        sample = random.sample(names, min(len(names), _SAMPLE))
        found = [self._cluster.published(name) for name in sample]
        known = Counter(one for one in found if one is not None and parse_rfc3339(one.refreshed) is not None)
        return max(known, key=known.__getitem__, default=None)

    def _is_ours(self, name: str) -> bool:
        secret = self.secrets.get(name)
        return (
            self._is_selected(name)
            and secret is not None
            and secret.managed
            and self._other_installation(secret) is None
        )

    def _other_installation(self, secret: Secret) -> str | None:
        """Return the namespace of the installation that a Secret of ours belongs to, if it is another one.

        Only while that namespace exists: what a removed installation left is adopted or deleted after the grace period.
        """
        other = secret.other_installation
        return other if secret.managed and other is not None and other in self.namespaces else None

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until everything that is due is done, at most `timeout` seconds; return whether it is."""
        return self._queue.wait_until_idle(timeout)

    def work(self, stop: Event, beat: Callable[[], None]) -> None:
        """Reconcile one namespace after another until told to stop."""
        while not stop.is_set():
            beat()
            name = self._queue.get(_POLL_INTERVAL)
            if name is None:
                continue
            try:
                self._reconcile(name, stop)
            finally:
                self._queue.done(name)

    def close(self) -> None:
        """Wake up the workers, so that they end."""
        self._queue.close()

    def selected_count(self) -> int:
        """Count the selected namespaces."""
        return sum(map(self._is_selected, self.namespaces.names()))

    def plan(self, name: str) -> Action:
        """Return what a namespace needs now. Raises `ClusterError` if its Secret has to be read and cannot be."""
        return self._plan(name, self._current_secret(name), self.pull_secret)

    def _current_secret(self, name: str) -> Secret | None:
        """Return a namespace's Secret, with its content if it is ours; each version is read once.

        Watches deliver only metadata, and no annotation proves what the content is: a client that can change one can
        change the other. But nothing changes without a new version.
        """
        known = self.secrets.get(name)
        if known is None or not known.managed or known.content is not None or self._other_installation(known):
            return known
        if self._state(name) is NamespaceState.TERMINATING:
            return known
        record = self._record(name)
        if record.read is None or (record.read.uid, record.read.version) != (known.uid, known.version):
            try:
                record.read = self._cluster.secret(name)
            except TooLarge:
                record.read = structs.replace(known, content=TOO_LARGE)
            if record.read is not None:
                self.secrets.put(record.read)
        return record.read

    def _record(self, name: str) -> _Record:
        return self._records.setdefault(name, _Record())

    def _plan(self, name: str, found: Secret | None, pull_secret: PullSecret | None) -> Action:
        other = None if found is None else self._other_installation(found)
        if other is not None:
            return reconcile.leave(self._state(name), other)
        grace = GracePeriod(
            self._settings.linger,
            self._clock_guard.grace(self._settings.linger),
            since=self._entitlements.deselected_at(name),
            entitled=found is not None and self._entitlements.covers(found),
        )
        return reconcile.plan(self._state(name), found, pull_secret, self._wall(), grace)

    @property
    def synced(self) -> bool:
        """Whether all namespaces and pull secrets have been listed."""
        return self.namespaces.synced and self.secrets.synced

    def is_current(self, name: str) -> bool:
        """Whether a namespace is selected and its pull secret is current."""
        try:
            return self._is_selected(name) and self.plan(name).kind is ActionKind.KEEP
        except ClusterError:
            return False

    def _is_selected(self, name: str) -> bool:
        return self._state(name) is NamespaceState.SELECTED

    def _state(self, name: str) -> NamespaceState:
        namespace = self.namespaces.get(name)
        if namespace is None or namespace.terminating:
            return NamespaceState.TERMINATING
        if self._namespace_filter.denial_reason(name) is not None:
            return NamespaceState.FORBIDDEN
        selected = self._settings.enabled and self._namespace_filter.is_opted_in(namespace.labels)
        return NamespaceState.SELECTED if selected else NamespaceState.NOT_SELECTED

    def _namespace_changed(self, name: str) -> None:
        if self._is_selected(name):
            self._selected_at.setdefault(name, self._clock())
        else:
            self._selected_at.pop(name, None)
        self._secret_changed(name)

    def _secret_changed(self, name: str) -> None:
        self._entitlements.observe(name, self._state(name), self.secrets.get(name), self._wall())
        self._queue.add(name)

    def _reconcile(self, name: str, stop: Event) -> None:
        if not (self._leading() and self.synced):
            return  # when either changes, every namespace is reconciled
        record = self._record(name)
        try:
            self._apply_plan(name, record, stop)
        except NotFound:
            pass  # the namespace, or what was to be deleted, is gone: the watch reports it
        except ClusterError as error:
            if not stop.is_set():
                self._failed(name, error, record)

    def _apply_plan(self, name: str, record: _Record, stop: Event) -> None:
        # Other threads replace both at any moment: plan and write with the same ones.
        found, pull_secret = self._current_secret(name), self.pull_secret
        if not self._leading():
            return  # the Lease may have been lost while the Secret was read
        action = self._plan(name, found, pull_secret)
        if action.due is not None:
            self._queue.add(name, max(0.0, action.due - self._wall()))
        self._note_foreign(name, action)
        intended = None if pull_secret is None else (pull_secret, action.deselected_since)
        if action.kind not in {ActionKind.NOTHING, ActionKind.KEEP}:
            repair = action.replaces or (action.kind is not ActionKind.DELETE and record.synced == intended)
            if repair and self._in_backoff(name, record.backoff):
                return
            self._write(name, action, found, pull_secret, record)
            if stop.is_set():
                return  # the controller of the new configuration reports from now on
            self._written(name, action, record, repair=repair)
        record.synced = None if action.kind in {ActionKind.NOTHING, ActionKind.DELETE} else intended
        self._mark_synced(name, action, record)

    def _write(
        self, name: str, action: Action, found: Secret | None, pull_secret: PullSecret | None, record: _Record
    ) -> None:
        if action.keeps_content:
            pull_secret = self._current_content(name)
        if action.kind is not ActionKind.DELETE and pull_secret is not None:
            # A create is not forced, so that it conflicts with another client that created the Secret in the meantime.
            # An update is forced, but only on the object with this uid.
            uid = found.uid if found else None
            secret = manifest.to_manifest(
                pull_secret,
                name=self._settings.name,
                namespace=name,
                installation=self._cluster.namespace,
                deselected_since=action.deselected_since,
                uid=uid,
            )
            record.read = self._cluster.apply_secret(secret, force=action.kind is ActionKind.UPDATE)
            self.secrets.put(record.read)
        elif found is not None:
            self._cluster.delete_secret(found)
            record.read = None  # read it again until the watch reports the deletion
            if action.replaces:
                self._queue.add(name)

    def _current_content(self, name: str) -> PullSecret:
        """Return what a namespace's Secret holds, to apply it unchanged. Raises `ClusterError`."""
        published = self._cluster.published(name)
        if published is None:
            raise NotFound(f"cannot read the Secret of {name}: it is gone, or larger than ours can be")
        return manifest.from_published(published)

    def _written(self, name: str, action: Action, record: _Record, *, repair: bool) -> None:
        """Report what was written."""
        self._metrics.writes.labels(action.kind.value).inc()
        quiet = action.kind is ActionKind.UPDATE and not repair
        _log.log(
            logging.DEBUG if quiet else logging.INFO,
            log.event(
                "pull secret written", operation=action.kind.value, repair=repair, namespace=name, why=action.why
            ),
        )
        if repair:
            self._metrics.repairs.inc()
            record.backoff.record(self._clock())
        secret = self._settings.name
        if action.replaces:
            note = f"Deleted Secret {secret} to create it again: {action.why}."
            self._events.report(EventReason.PULL_SECRET_REPLACED, note, name)
        elif action.kind is ActionKind.DELETE:
            self._events.report(EventReason.PULL_SECRET_REMOVED, f"Deleted Secret {secret}: {action.why}.", name)
        elif action.deselected_since is not None and (record.synced is None or record.synced[1] is None):
            until = format_rfc3339(action.due or self._wall())
            kept = "kept unchanged" if action.keeps_content else "kept and updated"
            note = f"Namespace {name} is not selected. Secret {secret} is {kept} until {until}, then deleted."
            self._events.report(EventReason.PULL_SECRET_REMOVAL_SCHEDULED, note, name)

    def _mark_synced(self, name: str, action: Action, record: _Record) -> None:
        """Record that nothing is left to do."""
        record.failures = 0
        if self.failing.pop(name, None) is not None:
            self._events.resolved(name, EventReason.PULL_SECRET_FAILED)
        if record.backoff.is_over(self._clock()):
            self.contended.discard(name)
        since = None if record.synced is None else self._selected_at.pop(name, None)
        if since is not None and action.kind is ActionKind.CREATE:
            self._metrics.latency.observe(self._clock() - since)
        if action.kind is ActionKind.NOTHING and name not in self.namespaces and name not in self.secrets:
            self._records.pop(name, None)
            self.contended.discard(name)

    def _in_backoff(self, name: str, backoff: FlapBackoff) -> bool:
        wait = backoff.delay(self._clock())
        if not wait:
            return False
        self._queue.add(name, wait)
        self.contended.add(name)
        note = (
            f"Another client keeps changing or deleting Secret {self._settings.name}. "
            f"The next repair is in {wait:.0f} s. Find the client in metadata.managedFields or in the audit log."
        )
        self._events.report(EventReason.PULL_SECRET_CONTENDED, note, name)
        return True

    def _failed(self, name: str, error: ClusterError, record: _Record) -> None:
        record.failures += 1
        self._metrics.write_failures.labels(_kind(error)).inc()
        most = _MAX_DELAY_UNREACHABLE if isinstance(error, Unreachable) else _MAX_DELAY_REFUSED
        self._queue.add(name, min(most, _MIN_DELAY * 2 ** min(record.failures - 1, 16)))
        self.failing[name] = str(error)
        if record.failures >= _REPORT_AFTER:
            # An API server that does not answer accepts no Event, and every namespace would log the same line.
            if isinstance(error, Unreachable):
                self._events.report(EventReason.CLUSTER_UNREACHABLE, str(error), event=False)
            else:
                note = f"Could not write Secret {self._settings.name}, retrying: {error}."
                self._events.report(EventReason.PULL_SECRET_FAILED, note, name)

    def _note_foreign(self, name: str, action: Action) -> None:
        if action.foreign:
            if name not in self.foreign:
                self._metrics.foreign_conflicts.inc()
            self.foreign[name] = why = f"Secret {self._settings.name} {action.why}"
            self._events.report(EventReason.FOREIGN_SECRET, f"{why}.", name)
        elif name in self.foreign:
            del self.foreign[name]
            self._events.resolved(name, EventReason.FOREIGN_SECRET)


def _kind(error: ClusterError) -> str:
    """Return the metric label for a failure."""
    kinds = {Conflict: "conflict", Forbidden: "forbidden", Invalid: "invalid", Unreachable: "unreachable"}
    return kinds.get(type(error), "other")
