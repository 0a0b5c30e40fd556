"""Keep a store current with a list and one watch after another, whatever happens to the API server."""

import logging
from collections.abc import Callable
from threading import Event
from typing import Generic, TypeVar

from webhook import log
from webhook.errors import ClusterError, Expired
from webhook.kube.api import ListWatch, Watch
from webhook.kube.codec import Versioned
from webhook.refresher.runtime.store import Store

_log = logging.getLogger("webhook.refresher")

_Object = TypeVar("_Object", bound=Versioned)

#: Seconds between two attempts, few so that what changed in an outage is known soon after its end.
_MIN_DELAY, _MAX_DELAY = 0.25, 5.0
#: Failed watches in a row after which everything is listed again: when etcd was restored, a watch from a version that
#: does not exist yet receives nothing at all.
_RELIST_AFTER = 3
#: The longest time between two heartbeats, seconds: a watch without events, then a long list.
STALL_TIMEOUT = 300.0


class Reflector(Generic[_Object]):
    """The loop of one resource. `failed` is called when a watch fails, `returned` after a list or an outage."""

    def __init__(
        self,
        resource: ListWatch[_Object],
        store: Store[_Object],
        returned: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._resource: ListWatch[_Object] = resource
        self._store: Store[_Object] = store
        self._returned = returned
        self._failed = failed
        self._version: str | None = None
        self._open: Watch[_Object] | None = None
        self._failures = 0
        """Watches in a row that failed before their first event: some proxies cut each as soon as it is open."""

    def run(self, stop: Event, beat: Callable[[], None]) -> None:
        """List and watch until told to stop."""
        while not stop.is_set():
            beat()
            resumed = self._version is not None
            try:
                self._open = watch = self._resource.watch(self._version or self._list())
                if self._failures:
                    self._returned()
                self._consume(watch, stop, beat)
                self._note_success()
            except ClusterError as error:
                if stop.is_set():
                    return
                self._note_failure(error)
                # After an outage the first response may be that the version is too old: list again at once. Right after
                # a list of our own, that is a failure like any other.
                if not (resumed and isinstance(error, Expired)):
                    stop.wait(min(_MAX_DELAY, _MIN_DELAY * 2 ** min(self._failures - 1, 8)))
            else:
                stop.wait(_MIN_DELAY)  # a watch that ended at once may do so again

    def close(self) -> None:
        """End the open watch, from another thread."""
        watch = self._open
        if watch is not None:
            watch.close()

    def _list(self) -> str:
        self._version = self._store.refresh(self._resource.list)
        self._returned()
        return self._version

    def _consume(self, watch: Watch[_Object], stop: Event, beat: Callable[[], None]) -> None:
        """Store every change until the watch ends."""
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
            _log.info(log.event("watch recovered", resource=self._resource.display_name))
            self._failures = 0

    def _note_failure(self, error: ClusterError) -> None:
        self._failed()
        self._failures += 1
        if self._failures % _RELIST_AFTER == 0:
            self._version = None
        if isinstance(error, Expired):
            self._version = None
            _log.info(log.event("watch expired, listing again", resource=self._resource.display_name, error=error))
        elif self._failures == 1:
            _log.warning(log.event("watch failed, retrying", resource=self._resource.display_name, error=error))
