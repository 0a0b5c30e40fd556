"""Report problems and changes to operators, in a log line and an Event that are not repeated too often."""

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
from webhook.refresher.runtime.event_reasons import EventReason

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
        self._reports: dict[tuple[str, EventReason], _Report] = {}

    def report(self, reason: EventReason, note: str, namespace: str | None = None, *, event: bool = True) -> None:
        """Report a problem or change of a namespace's pull secret, or of the refresher if `namespace` is None.

        With `event=False` it is only logged.
        """
        if not self._is_new(namespace or "", reason, note):
            return
        level = logging.WARNING if reason.kind == "Warning" else logging.INFO
        _log.log(level, log.event("Event occurred", reason=reason, namespace=namespace, note=note))
        if event and self._leading():
            try:
                self._cluster.create_event(self._event(reason, note, namespace))
            except ClusterError as error:
                _log.warning(log.event("could not create Event", reason=reason, error=error))

    def resolved(self, namespace: str | None, *reasons: EventReason) -> None:
        """Forget problems that are over, so that they are reported immediately if they occur again."""
        with self._lock:
            for reason in reasons:
                self._reports.pop((namespace or "", reason), None)

    def _is_new(self, namespace: str, reason: EventReason, note: str) -> bool:
        now = self._clock()
        with self._lock:
            before = self._reports.get((namespace, reason))
            if before is not None and now - before.at < (_REPEAT_AFTER if before.note == note else _CHANGED_AFTER):
                return False
            if len(self._reports) >= _MAX_REMEMBERED:
                self._reports.clear()
            self._reports[namespace, reason] = _Report(note, now)
        return True

    def _event(self, reason: EventReason, note: str, namespace: str | None) -> dict[str, Any]:
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
            "type": reason.kind,
            "reason": reason.value,
            "action": "Publish",
            "note": shorten(note, _NOTE_LIMIT),
            "regarding": regarding | {"namespace": namespace},
            "reportingController": f"{PROGRAM}/refresher",
            "reportingInstance": self._identity[:128],
        }
