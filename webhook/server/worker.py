"""A gunicorn worker with our own event loop: a connection limit, a certificate that can be replaced, a drain.

It rests on what gunicorn documents of `gunicorn.workers.base.Worker`: `run` is the main loop, `notify` the heartbeat,
`sockets` are the listening sockets, and `alive` becomes false when the worker must stop. All connections are accepted
here, so that no gunicorn can serve them without TLS.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gunicorn.workers import base

from webhook import log
from webhook.admission.review import BODY_LIMIT
from webhook.server.applications import Application, TruncatedApplication
from webhook.server.counters import ReviewCounters
from webhook.server.http1 import READ, REQUEST_TIMEOUT, ProtocolContext
from webhook.server.listener import Listener
from webhook.server.memory_budget import MemoryBudget
from webhook.server.metrics import CloseReason, Metrics
from webhook.server.request_scheduler import SIGNALS, RequestScheduler, background_executor

#: Connections at a time on the TLS port, and on the port for probes: a flood of one cannot starve the other.
CONNECTIONS, HEALTH_CONNECTIONS = 500, 100
#: File descriptors that are reserved for everything but connections.
_RESERVED_FILES = 64
#: Bytes that all connections of the TLS port hold together. There is room for the longest review of an API server while
#: another client holds as much.
MEMORY_LIMIT = 2 * BODY_LIMIT + 8 * 1024 * 1024
#: The same for probes, which have no bodies.
HEALTH_MEMORY_LIMIT = 4 * 1024 * 1024

#: Seconds until a thread that computes releases the GIL to the event loop. Each request waits for that several times,
#: after every call that lets other threads run, such as those that encrypt. Python's default is 5 ms.
_SWITCH_INTERVAL = 0.0002

_POLL_INTERVAL = 0.5
_log = logging.getLogger("webhook.server")


class PortConfig(NamedTuple):
    """The application of one listening socket."""

    name: str
    application: Application
    connections: int
    memory_limit: int
    """Bytes that all connections hold together."""
    tls: Callable[[], ssl.SSLContext | None] | None = None
    """Returns the context for a new connection, or None while there is no certificate. If not set, TLS is not used."""
    truncated: TruncatedApplication = lambda _: None
    """Answers requests whose body is too large."""


class ServerConfig(NamedTuple):
    """The applications of a worker."""

    ports: tuple[PortConfig, ...]
    """In the order of the listening sockets."""
    poll: Callable[[], None]
    """Called twice a second in a thread, to reload changed files."""
    on_stop: Callable[[], None]
    """Called once when the worker begins to stop."""
    drain: float
    """Seconds after that during which connections are still accepted."""
    metrics: Metrics
    counters: ReviewCounters


class Worker(base.Worker):  # type: ignore[misc] # gunicorn has no types
    """Serves a `ServerConfig`."""

    alive: bool
    _is_immediate = False  # stop without a drain

    def run(self) -> None:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            try:
                runner.run(self._serve(self.wsgi))
            finally:
                # No client waits for an answer any more, and a signal while the event loop is shut down would be
                # logged as an error: Ctrl-C in a terminal reaches this process twice, from the terminal and from the
                # supervisor.
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    async def _serve(self, config: ServerConfig) -> None:
        self._loop = asyncio.get_running_loop()
        log.batch(self._loop.call_soon)
        try:
            await self._run(config)
        finally:
            log.batch(None)

    async def _run(self, config: ServerConfig) -> None:
        self._stop = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, self._begin_stop)
        for number in (signal.SIGINT, signal.SIGQUIT):
            self._loop.add_signal_handler(number, partial(self._begin_stop, is_immediate=True))
        sys.setswitchinterval(_SWITCH_INTERVAL)
        listeners = self._listeners(config)
        tasks = [self._loop.create_task(listener.expire()) for listener in listeners]
        polled = asyncio.Event()
        tasks.append(self._loop.create_task(self._poll(config, polled)))
        # A worker that replaces another starts with the files as the supervisor read them at startup, which may have
        # changed since.
        while not polled.is_set() and self.alive and self.ppid == os.getppid():
            self.notify()
            await _wait(polled, _POLL_INTERVAL)
        for listener in listeners:
            listener.accept()
        gc.collect()
        gc.freeze()  # what exists now stays, so later collections can skip it
        _log.info(
            log.event(
                "server started",
                addresses=", ".join(listener.address for listener in listeners),
                loop=type(self._loop).__module__.partition(".")[0],
                pid=os.getpid(),
            )
        )
        while self.alive and self.ppid == os.getppid():
            self.notify()
            log.flush()
            config.counters.refusals.flush()
            await _wait(self._stop, _POLL_INTERVAL)
        self.alive = False  # also if the supervisor has gone: answers close their connections from now on
        config.on_stop()
        await self._drain(listeners, config.drain)
        for task in tasks:
            task.cancel()

    def _listeners(self, config: ServerConfig) -> list[Listener]:
        listeners = []
        for port, own, limit in zip(config.ports, self.sockets, _connection_limits(config.ports), strict=True):
            on_close = config.metrics.on_close(port.name)
            context = ProtocolContext(
                RequestScheduler(port.application, self._loop),
                self,
                memoryview(bytearray(READ)),
                MemoryBudget(port.memory_limit, partial(on_close, CloseReason.MEMORY)),
                self._loop.time,
                config.counters.refuse,
                port.truncated,
            )
            listening = socket.socket(fileno=os.dup(own.fileno()))
            own.close()
            listener = Listener(listening, limit, context, port.tls, on_close)
            config.metrics.watch(port.name, listener)
            listeners.append(listener)
        return listeners

    async def _poll(self, config: ServerConfig, polled: asyncio.Event) -> None:
        """Poll for changed files until cancelled; set `polled` after the first time.

        Runs in a thread because loading thousands of rules takes a second, and apart from the heartbeat because a file
        system can hang.
        """
        executor = background_executor("poll")
        while True:
            try:
                await self._loop.run_in_executor(executor, config.poll)
            except Exception as error:  # noqa: BLE001 - the current state is still served
                _log.error(log.event("reading the files failed", error=log.location(error)))
            polled.set()
            await asyncio.sleep(_POLL_INTERVAL)

    async def _drain(self, listeners: list[Listener], seconds: float) -> None:
        """Stop without losing a request.

        Every answer closes its connection. New connections are accepted until clients have learned that this endpoint
        is gone. Then they are refused, idle ones are closed, and requests in flight are answered.
        """
        if self._is_immediate:
            seconds = 0.0
        _log.info(log.event("shutdown started", drain_seconds=seconds))
        deadline = self._loop.time() + seconds
        while self._loop.time() < deadline and not self._is_immediate:
            self.notify()
            await asyncio.sleep(0.05)
        for listener in listeners:
            listener.refuse()
        deadline = self._loop.time() + REQUEST_TIMEOUT
        while any(listener.open for listener in listeners) and self._loop.time() < deadline and not self._is_immediate:
            self.notify()
            # Read what arrived while the process was not scheduled, before its connection looks idle and is closed.
            await asyncio.sleep(0.05)
            for listener in listeners:
                listener.close_idle()
        _log.info(log.event("shutdown completed", aborted_connections=sum(listener.open for listener in listeners)))

    def _begin_stop(self, *, is_immediate: bool = False) -> None:
        self.alive = False
        self._is_immediate |= is_immediate
        self._stop.set()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's event loop, or asyncio's where uvloop has no wheels."""
    try:
        import uvloop  # noqa: PLC0415 - the supervisor does not need it
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _connection_limits(ports: Sequence[PortConfig]) -> list[int]:
    """Return the number of connections for each port.

    If file descriptors are scarce, each port but the largest gets at most a quarter of those that are left.
    """
    files, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sum(port.connections for port in ports) + _RESERVED_FILES
    if files != resource.RLIM_INFINITY and files < wanted:
        files = wanted if hard_limit == resource.RLIM_INFINITY else min(wanted, hard_limit)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard_limit))
    left = (wanted if files == resource.RLIM_INFINITY else files) - _RESERVED_FILES
    limits = {}
    for number, port in enumerate(sorted(ports, key=lambda port: port.connections)):
        share = left if number == len(ports) - 1 else left // 4
        limits[port.name] = min(port.connections, share)
        left -= limits[port.name]
    return [limits[port.name] for port in ports]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event for at most `seconds`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
