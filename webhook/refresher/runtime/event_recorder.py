"""Report what an operator should know, in a log line and an Event, neither of them repeated too often."""

import logging
import secrets
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

from webhook import log
from webhook.constants import PROGRAM, REFRESHER
from webhook.errors import ClusterError
from webhook.kube.api import Cluster
from webhook.kube.codec import micro_time
from webhook.log import shorten

_log = logging.getLogger("webhook.refresher")

#: Seconds until the same note is reported again, and until another note with the same reason is reported.
_REPEAT_AFTER, _CHANGED_AFTER = 3600.0, 60.0
_NOTE_LIMIT = 1024
#: The most reports that are remembered.
_MAX_REMEMBERED = 10_000


class _Report(NamedTuple):
    note: str
    at: float


class EventRecorder:
    """Reports problems and changes, each once in a while. Thread-safe.

    Every replica logs; the leader also creates Events. `secret` is the pull secret's name, `clock` returns monotonic
    seconds.
    """

    def __init__(
        self, cluster: Cluster, secret: str, identity: str, leading: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        self._cluster = cluster
        self._secret = secret
        self._identity = identity
        self._leading = leading
        self._clock = clock
        self._lock = Lock()
        self._reports: dict[tuple[str, str], _Report] = {}

    def warning(self, reason: str, note: str, namespace: str | None = None, *, event: bool = True) -> None:
        """Report a problem with a namespace's pull secret, or with the refresher if `namespace` is None."""
        self._report("Warning", reason, note, namespace, event=event)

    def normal(self, reason: str, note: str, namespace: str) -> None:
        """Report a change to a namespace's pull secret."""
        self._report("Normal", reason, note, namespace, event=True)

    def resolved(self, namespace: str | None, *reasons: str) -> None:
        """Forget problems that are over: they are reported at once when they occur again."""
        with self._lock:
            for reason in reasons:
                self._reports.pop((namespace or "", reason), None)

    def _report(self, kind: str, reason: str, note: str, namespace: str | None, *, event: bool) -> None:
        if not self._is_new(namespace or "", reason, note):
            return
        level = logging.WARNING if kind == "Warning" else logging.INFO
        _log.log(level, log.event("Event occurred", reason=reason, namespace=namespace, note=note))
        if event and self._leading():
            try:
                self._cluster.create_event(self._event(kind, reason, note, namespace))
            except ClusterError as error:
                _log.warning(log.event("could not create Event", reason=reason, error=error))

    def _is_new(self, namespace: str, reason: str, note: str) -> bool:
        now = self._clock()
        with self._lock:
            before = self._reports.get((namespace, reason))
            if before is not None and now - before.at < (_REPEAT_AFTER if before.note == note else _CHANGED_AFTER):
                return False
            if len(self._reports) >= _MAX_REMEMBERED:
                self._reports.clear()
            self._reports[namespace, reason] = _Report(note, now)
        return True

    def _event(self, kind: str, reason: str, note: str, namespace: str | None) -> dict[str, Any]:
        """Build an Event: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/."""
        if namespace is None:
            namespace = self._cluster.namespace
            regarding = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": REFRESHER}
        else:
            regarding = {"apiVersion": "v1", "kind": "Secret", "name": self._secret}
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{PROGRAM}.{secrets.token_hex(8)}", "namespace": namespace},
            "eventTime": micro_time(),
            "type": kind,
            "reason": reason,
            "action": "Publish",
            "note": shorten(note, _NOTE_LIMIT),
            "regarding": regarding | {"namespace": namespace},
            "reportingController": f"{PROGRAM}/refresher",
            "reportingInstance": self._identity[:128],
        }
