"""The pull secret in every namespace: one where something changes is looked at, and brought to what it needs."""

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
from webhook.pull_secret import manifest as documents
from webhook.pull_secret import reconcile
from webhook.pull_secret.manifest import Published, PullSecret
from webhook.pull_secret.reconcile import TOO_LARGE, Action, ActionKind, GracePeriod, Namespace, NamespaceState, Secret
from webhook.refresher.entitlement import Entitlements
from webhook.refresher.runtime.backoff import FlapBackoff
from webhook.refresher.runtime.clock_jump import ClockJumpGuard
from webhook.refresher.runtime.event_recorder import EventRecorder
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.store import Store
from webhook.refresher.runtime.work_queue import WorkQueue
from webhook.settings import PullSecretSettings
from webhook.timestamps import format_rfc3339, parse_rfc3339

_log = logging.getLogger("webhook.refresher")

WORKERS = 8
#: The longest that a worker may give no sign of life: it waits a second for work, or half a minute for answers.
STALL_TIMEOUT = 120.0
_GET_TIMEOUT = 1.0

#: Seconds. What failed is tried again after the first, then after ever longer, up to the second for an API server that
#: does not answer (the end of an outage is noticed elsewhere) and to the third for one that refuses.
_MIN_DELAY, _MAX_DELAY_UNREACHABLE, _MAX_DELAY_REFUSED = 0.25, 30.0, 300.0

#: Namespaces whose pull secret is read to learn what is published.
_SAMPLE = 9

#: A failure is told from this one on: the first may be a namespace that goes at this moment.
_REPORT_AFTER = 3


@dataclass
class _Record:
    """What is remembered of a namespace; only the worker that has it in hands touches it."""

    read: Secret | None = None
    """The Secret with its content, when that was last read or written."""
    synced: tuple[PullSecret, str | None] | None = None
    """What stood there when it was last as it should be: the document, and since when it is not served."""
    failures: int = 0
    backoff: FlapBackoff = field(default_factory=FlapBackoff)


class PullSecretController:
    """Brings namespaces to what they need, by several workers."""

    def __init__(  # noqa: PLR0913 - what it works with, each part by name
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
    ) -> None:
        """Take the cluster, the terms, whom to tell, what was seen of clocks and namespaces, and whether to write."""
        self._cluster = cluster
        self._settings = settings
        self._namespace_filter = namespace_filter
        self._events = events
        self._metrics = metrics
        self._clock_guard = clock_guard
        self._entitlements = entitlements
        self._leading = leading
        self._clock = clock_guard.clocks.monotonic
        self._wall = clock_guard.clocks.wall
        self._queue = WorkQueue(self._clock)
        self._records: dict[str, _Record] = {}
        self._selected_at: dict[str, float] = {}
        self.namespaces: Store[Namespace] = Store(lambda item: item.name, self._namespace_changed)
        self.secrets: Store[Secret] = Store(lambda item: item.namespace, self._secret_changed)
        self.pull_secret: PullSecret | None = None
        self.failing: dict[str, str] = {}
        """Namespaces that cannot be brought to what they need, with why."""
        self.foreign: dict[str, str] = {}
        """Served namespaces where a Secret is in the way that stays as it is, with why."""
        self.contended: set[str] = set()

    def start(self) -> None:
        """Begin to write: nothing is known of what stands where, and everything is looked at."""
        self._records.clear()
        self.enqueue_all()

    def stop(self) -> None:
        """Cease to write: what is wrong in a namespace is for another replica to say."""
        self.failing.clear()
        self.foreign.clear()
        self.contended.clear()

    def publish(self, pull_secret: PullSecret | None) -> None:
        """Have a document stand in every namespace."""
        self.pull_secret = pull_secret
        self.enqueue_all()

    def enqueue_all(self) -> None:
        """Look at every namespace afresh, at once, whatever each was waiting for."""
        for name in {*self.namespaces.names(), *self.secrets.names()}:
            self._queue.add(name)

    def relist(self) -> None:
        """List everything anew: the net below the watches. Raises `ClusterError`."""
        self.namespaces.refresh(self._cluster.namespaces.list)
        self.secrets.refresh(self._cluster.secrets.list)

    def published(self) -> Published | None:
        """Return what most of a few selected namespaces hold, None where none has a pull secret of ours.

        The majority of some that nobody can choose, because the owner of a namespace can write what its own holds.
        Raises `ClusterError`.
        """
        names = [name for name in self.secrets.names() if self._is_ours(name)]
        sample = random.sample(names, min(len(names), _SAMPLE))
        found = [self._cluster.published(name) for name in sample]
        known = Counter(one for one in found if one is not None and parse_rfc3339(one.refreshed) is not None)
        return max(known, key=known.__getitem__, default=None)

    def _is_ours(self, name: str) -> bool:
        secret = self.secrets.get(name)
        served = self._state(self.namespaces.get(name)) is NamespaceState.SELECTED
        return served and secret is not None and secret.managed

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until everything that is due has been done; tell whether that came about within `timeout` seconds."""
        return self._queue.wait_until_idle(timeout)

    def work(self, stop: Event, beat: Callable[[], None]) -> None:
        """Look at one namespace after the other, until told to stop."""
        while not stop.is_set():
            beat()
            name = self._queue.get(_GET_TIMEOUT)
            if name is None:
                continue
            try:
                self._reconcile(name, stop)
            finally:
                self._queue.done(name)

    def close(self) -> None:
        """Wake the workers up for good."""
        self._queue.close()

    def selected_count(self) -> int:
        """Count the namespaces that are served."""
        known = (self.namespaces.get(name) for name in self.namespaces.names())
        return sum(self._state(namespace) is NamespaceState.SELECTED for namespace in known)

    def plan(self, name: str) -> Action:
        """Say what a namespace needs now. Raises `ClusterError` where its Secret has to be read and cannot."""
        return self._plan(name, self._current_secret(name), self.pull_secret)

    def _current_secret(self, name: str) -> Secret | None:
        """Give a namespace's Secret, if it is ours with its content: of each version that is read once.

        A watch tells of metadata alone, and no annotation says for sure what the content is: whoever changes the one
        can change the other. But nothing changes without a new version.
        """
        known = self.secrets.get(name)
        if known is None or not known.managed or known.content is not None:
            return known
        if self._state(self.namespaces.get(name)) is NamespaceState.TERMINATING:
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
        standing = self._state(self.namespaces.get(name))
        grace = GracePeriod(
            self._settings.linger,
            self._clock_guard.grace(self._settings.linger),
            since=self._entitlements.deselected_at(name),
            entitled=found is not None and self._entitlements.covers(found),
        )
        return reconcile.plan(standing, found, pull_secret, self._wall(), grace)

    @property
    def synced(self) -> bool:
        """Whether all namespaces and pull secrets have been listed."""
        return self.namespaces.synced and self.secrets.synced

    def is_current(self, name: str) -> bool:
        """Tell whether a namespace is served, and its pull secret as it should be."""
        if self._state(self.namespaces.get(name)) is not NamespaceState.SELECTED:
            return False
        try:
            return self.plan(name).kind is ActionKind.KEEP
        except ClusterError:
            return False

    def _state(self, namespace: Namespace | None) -> NamespaceState:
        if namespace is None or namespace.terminating:
            return NamespaceState.TERMINATING
        if self._namespace_filter.denial_reason(namespace.name) is not None:
            return NamespaceState.FORBIDDEN
        asked = self._settings.enabled and self._namespace_filter.is_opted_in(namespace.labels)
        return NamespaceState.SELECTED if asked else NamespaceState.NOT_SELECTED

    def _namespace_changed(self, name: str) -> None:
        if self._state(self.namespaces.get(name)) is NamespaceState.SELECTED:
            self._selected_at.setdefault(name, self._clock())
        else:
            self._selected_at.pop(name, None)
        self._secret_changed(name)

    def _secret_changed(self, name: str) -> None:
        standing = self._state(self.namespaces.get(name))
        self._entitlements.observe(name, standing, self.secrets.get(name), self._wall())
        self._queue.add(name)

    def _reconcile(self, name: str, stop: Event) -> None:
        if not (self._leading() and self.synced):
            return  # when either changes, everything is looked at
        record = self._record(name)
        try:
            self._apply_plan(name, record, stop)
        except NotFound:
            pass  # the namespace, or what was to be deleted, is gone; the watch tells
        except ClusterError as error:
            if not stop.is_set():
                self._failed(name, error, record)

    def _apply_plan(self, name: str, record: _Record, stop: Event) -> None:
        # Both may be replaced at any moment; a step is taken with what it was planned with.
        found, document = self._current_secret(name), self.pull_secret
        if not self._leading():
            return  # to read takes time
        step = self._plan(name, found, document)
        if step.due is not None:
            self._queue.add(name, max(0.0, step.due - self._wall()))
        self._note_foreign(name, step)
        intended = None if document is None else (document, step.unserved)
        if step.kind not in {ActionKind.NOTHING, ActionKind.KEEP}:
            repair = step.replaces or (step.kind is not ActionKind.DELETE and record.synced == intended)
            if repair and self._in_backoff(name, record.backoff):
                return
            self._write(name, step, found, document, record)
            if stop.is_set():
                return  # what there is to say, others say by now
            self._written(name, step, record, repair=repair)
        record.synced = None if step.kind in {ActionKind.NOTHING, ActionKind.DELETE} else intended
        self._mark_synced(name, step, record)

    def _write(
        self, name: str, step: Action, found: Secret | None, pull_secret: PullSecret | None, record: _Record
    ) -> None:
        if step.keeps_content:
            pull_secret = self._current_content(name)
        if step.kind is not ActionKind.DELETE and pull_secret is not None:
            # One that is made is not forced: a field of somebody else's is a conflict, if one came up meanwhile. One
            # that is ours is forced upon whoever changed it, and by its uid upon no other.
            uid = found.uid if found else None
            secret = documents.manifest(pull_secret, self._settings.name, name, unserved=step.unserved, uid=uid)
            record.read = self._cluster.apply_secret(secret, force=step.kind is ActionKind.UPDATE)
            self.secrets.put(record.read)
        elif found is not None:
            self._cluster.delete_secret(found)
            record.read = None  # until the watch tells that it is gone, it is asked for
            if step.replaces:
                self._queue.add(name)

    def _current_content(self, name: str) -> PullSecret:
        """Make the document of what a namespace's Secret holds. Raises `ClusterError`."""
        published = self._cluster.published(name)
        if published is None:
            raise NotFound(f"cannot read the Secret of {name}: it is gone, or larger than ours can be")
        return documents.from_published(published)

    def _written(self, name: str, step: Action, record: _Record, *, repair: bool) -> None:
        """Say what was written."""
        self._metrics.writes.labels(step.kind.value).inc()
        quiet = step.kind is ActionKind.UPDATE and not repair
        _log.log(
            logging.DEBUG if quiet else logging.INFO,
            log.event(f"pull secret {'repaired' if repair else step.kind.value + 'd'}", namespace=name, why=step.why),
        )
        if repair:
            self._metrics.repairs.inc()
            record.backoff.record(self._clock())
        if step.replaces:
            self._events.normal("PullSecretReplaced", f"the pull secret is deleted and made again: {step.why}", name)
        elif step.kind is ActionKind.DELETE:
            self._events.normal("PullSecretRemoved", f"the pull secret was removed: {step.why}", name)
        elif step.unserved is not None and (record.synced is None or record.synced[1] is None):
            until = format_rfc3339(step.due or self._wall())
            stays = "stays as it is" if step.keeps_content else "stays, and stays current,"
            note = f"the namespace is not opted in: the pull secret {stays} until {until}"
            self._events.normal("PullSecretLeaves", note, name)

    def _mark_synced(self, name: str, step: Action, record: _Record) -> None:
        """Take notice that nothing is left to do."""
        record.failures = 0
        if self.failing.pop(name, None) is not None:
            self._events.resolved(name, "PullSecretFailed")
        if record.backoff.is_over(self._clock()):
            self.contended.discard(name)
        since = None if record.synced is None else self._selected_at.pop(name, None)
        if since is not None and step.kind is ActionKind.CREATE:
            self._metrics.latency.observe(self._clock() - since)
        if step.kind is ActionKind.NOTHING and name not in self.namespaces and name not in self.secrets:
            self._records.pop(name, None)
            self.contended.discard(name)

    def _in_backoff(self, name: str, backoff: FlapBackoff) -> bool:
        wait = backoff.delay(self._clock())
        if not wait:
            return False
        self._queue.add(name, wait)
        self.contended.add(name)
        note = f"somebody keeps changing or deleting the pull secret: it is put back ever later, next in {wait:.0f} s"
        self._events.warning("PullSecretContended", note, name)
        return True

    def _failed(self, name: str, error: ClusterError, record: _Record) -> None:
        record.failures += 1
        self._metrics.write_failures.labels(_kind(error)).inc()
        most = _MAX_DELAY_UNREACHABLE if isinstance(error, Unreachable) else _MAX_DELAY_REFUSED
        self._queue.add(name, min(most, _MIN_DELAY * 2 ** min(record.failures - 1, 16)))
        self.failing[name] = str(error)
        if record.failures >= _REPORT_AFTER:
            # While there is no answer, an Event would get none either, and every namespace would have its line.
            if isinstance(error, Unreachable):
                self._events.warning("ClusterUnreachable", str(error), event=False)
            else:
                self._events.warning("PullSecretFailed", str(error), name)

    def _note_foreign(self, name: str, step: Action) -> None:
        if step.foreign:
            if name not in self.foreign:
                self._metrics.foreign_conflicts.inc()
            self.foreign[name] = step.why
            self._events.warning("ForeignSecret", step.why, name)
        elif name in self.foreign:
            del self.foreign[name]
            self._events.resolved(name, "ForeignSecret")


def _kind(error: ClusterError) -> str:
    """Name a kind of failure, as metrics do."""
    kinds = {Conflict: "conflict", Forbidden: "forbidden", Invalid: "invalid", Unreachable: "unreachable"}
    return kinds.get(type(error), "other")
