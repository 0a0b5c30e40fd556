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
_AGAIN, _OTHER = 3600.0, 60.0
_NOTE_LIMIT = 1024
#: Of how many things it is remembered that they were said.
_REMEMBERED = 10_000


class _Said(NamedTuple):
    note: str
    at: float


class Reporter:
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
        self._said: dict[tuple[str, str], _Said] = {}

    def warn(self, reason: str, note: str, namespace: str | None = None, *, event: bool = True) -> None:
        """Say that something is wrong: of a namespace's pull secret, or without one of ours as a whole."""
        self._say("Warning", reason, note, namespace, event=event)

    def tell(self, reason: str, note: str, namespace: str) -> None:
        """Say that something has changed for a namespace's pull secret."""
        self._say("Normal", reason, note, namespace, event=True)

    def settled(self, namespace: str | None, *reasons: str) -> None:
        """Take notice that things are no longer wrong: they are said at once if they go wrong again."""
        with self._lock:
            for reason in reasons:
                self._said.pop((namespace or "", reason), None)

    def _say(self, kind: str, reason: str, note: str, namespace: str | None, *, event: bool) -> None:
        if not self._is_news(namespace or "", reason, note):
            return
        level = logging.WARNING if kind == "Warning" else logging.INFO
        _log.log(level, log.event(f"{reason}: {note}", namespace=namespace))
        if event and self._leading():
            try:
                self._cluster.create_event(self._event(kind, reason, note, namespace))
            except ClusterError as error:
                _log.info("no Event: %s", error)

    def _is_news(self, namespace: str, reason: str, note: str) -> bool:
        now = self._clock()
        with self._lock:
            before = self._said.get((namespace, reason))
            if before is not None and now - before.at < (_AGAIN if before.note == note else _OTHER):
                return False
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[namespace, reason] = _Said(note, now)
        return True

    def _event(self, kind: str, reason: str, note: str, namespace: str | None) -> dict[str, Any]:
        """Make an Event: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/."""
        if namespace is None:
            namespace = self._cluster.own
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
