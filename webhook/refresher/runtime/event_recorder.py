"""Saying what an operator should know: a log line, and an Event where it concerns, neither of them again and again."""

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

#: Seconds: the same is said again after the first of these, and something else of the same kind after the second.
_REPEAT_AFTER, _CHANGED_AFTER = 3600.0, 60.0
_NOTE_LIMIT = 1024
#: Of how many things it is remembered that they were said.
_MAX_REMEMBERED = 10_000


class _Reported(NamedTuple):
    note: str
    at: float


class EventRecorder:
    """Says things once."""

    def __init__(
        self, cluster: Cluster, secret: str, identity: str, leading: Callable[[], bool], clock: Callable[[], float]
    ) -> None:
        """Take the cluster, the pull secret's name, this replica's, whether it is the one that writes, and the clock.

        Every replica logs, and the one that writes makes Events.
        """
        self._cluster = cluster
        self._secret = secret
        self._identity = identity
        self._leading = leading
        self._clock = clock
        self._lock = Lock()
        self._reported: dict[tuple[str, str], _Reported] = {}

    def warning(self, reason: str, note: str, namespace: str | None = None, *, event: bool = True) -> None:
        """Say that something is wrong: of a namespace's pull secret, or without one of ours as a whole."""
        self._record("Warning", reason, note, namespace, event=event)

    def normal(self, reason: str, note: str, namespace: str) -> None:
        """Say that something has changed for a namespace's pull secret."""
        self._record("Normal", reason, note, namespace, event=True)

    def resolved(self, namespace: str | None, *reasons: str) -> None:
        """Take notice that things are no longer wrong: they are said at once if they go wrong again."""
        with self._lock:
            for reason in reasons:
                self._reported.pop((namespace or "", reason), None)

    def _record(self, kind: str, reason: str, note: str, namespace: str | None, *, event: bool) -> None:
        if not self._is_new(namespace or "", reason, note):
            return
        level = logging.WARNING if kind == "Warning" else logging.INFO
        _log.log(level, log.event(f"{reason}: {note}", namespace=namespace))
        if event and self._leading():
            try:
                self._cluster.create_event(self._event(kind, reason, note, namespace))
            except ClusterError as error:
                _log.info("no Event: %s", error)

    def _is_new(self, namespace: str, reason: str, note: str) -> bool:
        now = self._clock()
        with self._lock:
            before = self._reported.get((namespace, reason))
            if before is not None and now - before.at < (_REPEAT_AFTER if before.note == note else _CHANGED_AFTER):
                return False
            if len(self._reported) >= _MAX_REMEMBERED:
                self._reported.clear()
            self._reported[namespace, reason] = _Reported(note, now)
        return True

    def _event(self, kind: str, reason: str, note: str, namespace: str | None) -> dict[str, Any]:
        """Make an Event: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/."""
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
