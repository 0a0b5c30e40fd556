"""Loops in threads of their own, restarted when a bug ends them."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from webhook import log
from webhook.refresher.runtime.liveness import Heartbeats
from webhook.refresher.runtime.metrics import Metrics

_log = logging.getLogger("webhook.refresher")

#: Seconds before a loop that failed is started again.
_RESTART_DELAY = 1.0

Loop = Callable[[Event, Callable[[], None]], None]


class ThreadGroup:
    """Loops that run until `stop` is set, each in a thread."""

    def __init__(self, heartbeats: Heartbeats, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._heartbeats = heartbeats
        self._metrics = metrics
        self._monotonic = monotonic
        self.stop = Event()
        self._threads: dict[str, Thread] = {}

    def start(self, name: str, limit: float, loop: Loop) -> None:
        """Start a loop that gives a heartbeat at least every `limit` seconds."""
        self._heartbeats.expect(name, limit)
        thread = Thread(target=self._supervise, args=(name, loop), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _supervise(self, name: str, loop: Loop) -> None:
        while not self.stop.is_set():
            try:
                loop(self.stop, lambda: self._heartbeats.beat(name))
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop has to continue
                if self.stop.is_set():
                    return
                self._metrics.loop_restarts.inc()
                _log.error(log.event("loop failed, restarting", loop=name, error=log.location(error)))
                self.stop.wait(_RESTART_DELAY)

    def request_stop(self) -> None:
        """Tell all loops to stop, and expect no more heartbeats of them."""
        self.stop.set()
        self._heartbeats.forget(self._threads)

    def join(self, timeout: float) -> None:
        """Wait until all have ended, at most `timeout` seconds together."""
        end = self._monotonic() + timeout
        for thread in self._threads.values():
            thread.join(max(0.0, end - self._monotonic()))
