"""Keeping a store current: a list, then watches one after the other, through whatever becomes of the API server."""

import logging
from collections.abc import Callable
from threading import Event
from typing import Generic, TypeVar

from webhook.errors import ClusterError, Expired
from webhook.kube.api import Resource, Watch
from webhook.kube.codec import Versioned
from webhook.refresher.runtime.store import Store

_log = logging.getLogger("webhook.refresher")

_Object = TypeVar("_Object", bound=Versioned)

#: Seconds between two attempts: what happened in an outage is to be known soon after its end.
_MIN_DELAY, _MAX_DELAY = 0.25, 5.0
#: So many watches in a row that fail are followed by a list: after etcd was restored, a watch from a version that is
#: yet to come is told nothing at all.
_RELIST_AFTER = 3
#: The longest that the loop may give no sign of life: a watch that says nothing, then a long list.
STALL_TIMEOUT = 300.0


class Reflector(Generic[_Object]):
    """The loop of one kind."""

    def __init__(
        self,
        resource: Resource[_Object],
        store: Store[_Object],
        returned: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        """Take the kind and its store; `failed` is called when a watch fails, `returned` after a list or an outage."""
        self._resource: Resource[_Object] = resource
        self._store: Store[_Object] = store
        self._returned = returned
        self._failed = failed
        self._version: str | None = None
        self._open: Watch[_Object] | None = None
        self._failures = 0
        """How many watches in a row failed before they told anything: some proxies cut each as soon as it is open."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """Watch until told to stop."""
        while not stop.is_set():
            beat()
            resumed = self._version is not None
            try:
                watch = self._begin(self._version or self._list())
                if self._failures:
                    self._returned()
                self._follow(watch, stop, beat)
                self._note_success()
            except ClusterError as error:
                if stop.is_set():
                    return
                self._note_failure(error)
                # After an outage the first answer may be that the version is too old. One that comes upon a list of our
                # own a moment ago is a fault like any other.
                if not (resumed and isinstance(error, Expired)):
                    stop.wait(min(_MAX_DELAY, _MIN_DELAY * 2 ** min(self._failures - 1, 8)))
            else:
                stop.wait(_MIN_DELAY)  # it may have ended at once, and the next one could as well

    def close(self) -> None:
        """End the watch that is open, from another thread."""
        watch = self._open
        if watch is not None:
            watch.close()

    def _list(self) -> str:
        self._version = self._store.refresh(self._resource.list)
        self._returned()
        return self._version

    def _begin(self, version: str) -> Watch[_Object]:
        self._open = self._resource.watch(version)
        return self._open

    def _follow(self, watch: Watch[_Object], stop: Event, beat: Callable[[], None]) -> None:
        """Take every change until the watch ends."""
        for change in watch:
            beat()
            if stop.is_set():
                break
            if self._version is not None and int(change.version) < int(self._version):
                raise Expired(f"cannot watch {self._resource.display_name}: resource versions went back")
            self._note_success()
            self._version = change.version
            if change.item is not None:
                (self._store.remove if change.deleted else self._store.put)(change.item)

    def _note_success(self) -> None:
        if self._failures:
            _log.info("%s are watched again", self._resource.display_name)
            self._failures = 0

    def _note_failure(self, error: ClusterError) -> None:
        self._failed()
        self._failures += 1
        if self._failures % _RELIST_AFTER == 0:
            self._version = None
        if isinstance(error, Expired):
            self._version = None
            _log.info("%s: it begins anew", error)
        elif self._failures == 1:
            _log.warning("%s; this is tried again for as long as it takes", error)
