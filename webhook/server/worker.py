"""gunicorn's asgi worker, with an accept loop of our own.

It adds a bound on connections, a certificate that can be replaced under it, and a drain.
`ASGIWorker` itself builds its TLS context once and enforces no bound. `_serve` is gunicorn's own name and may change:
`gunicorn==27.0.*` is pinned, and tests hold what is built on it.
"""

import asyncio
import gc
import logging
import os
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gunicorn.workers.gasgi import ASGIWorker

from webhook import log
from webhook.admission.review import BODY_LIMIT
from webhook.server.counters import ReviewCounters
from webhook.server.http1 import PARSER, READ, REQUEST_TIMEOUT, Protocol, ProtocolContext
from webhook.server.listener import Listener, ListeningSocket
from webhook.server.memory_budget import MemoryBudget
from webhook.server.metrics import CloseReason, Metrics
from webhook.server.request_scheduler import SIGNALS, RequestScheduler, background_executor
from webhook.server.wsgi import Application, TruncatedApplication

#: Connections held at once on the TLS port.
CONNECTIONS = 500
#: The same on the port for probes, apart so that a flood of the one cannot starve the other.
HEALTH_CONNECTIONS = 100
#: File descriptors that are left for everything but connections.
_RESERVED_FILES = 64
#: Bytes that all connections of the TLS port hold together at the most. There is space for the longest review of an
#: API server while another client holds as much: it is the client that holds the most that frees some.
MEMORY_LIMIT = 2 * BODY_LIMIT + 8 * 1024 * 1024
#: The same for probes, which have no bodies.
HEALTH_MEMORY_LIMIT = 4 * 1024 * 1024

#: Seconds after which the event loop gets the interpreter back from a thread that computes. Python's 5 ms are waited
#: several times for each request: at every call that lets other threads run, such as those that encrypt.
_SWITCH_INTERVAL = 0.0002

_POLL_INTERVAL = 0.5
_log = logging.getLogger("webhook.server")


class PortConfig(NamedTuple):
    """What is served on one listening socket."""

    name: str
    application: Application
    connections: int
    memory_limit: int
    """Bytes that all connections hold together at the most."""
    is_secure: bool
    truncated: TruncatedApplication = lambda _: None
    """Answers requests whose body is too large."""


class ServerConfig(NamedTuple):
    """All that a worker serves, in the order of its listening sockets."""

    ports: tuple[PortConfig, ...]
    tls: Callable[[], ssl.SSLContext | None]
    """The context in force for new connections."""
    poll: Callable[[], None]
    """Called twice a second: takes up what has changed."""
    stopping: Callable[[], None]
    """Called once when the worker is told to stop: readiness goes first."""
    drain: float
    """Seconds after that during which connections are still accepted."""
    metrics: Metrics
    counters: ReviewCounters


class Worker(ASGIWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves a Site."""

    alive: bool

    async def _serve(self) -> None:
        log.batch(self.loop.call_soon)
        try:
            await self._run(self.asgi)
        finally:
            log.batch(None)

    async def _run(self, config: ServerConfig) -> None:
        self._stop = asyncio.Event()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        listeners = self._listeners(config)
        tasks = [self.loop.create_task(listener.expire()) for listener in listeners]
        looked = asyncio.Event()
        tasks.append(self.loop.create_task(self._poll(config, looked)))
        # A worker that replaces another has what the supervisor read at its start: it answers nothing by that.
        while not looked.is_set() and self.alive and self.ppid == os.getppid():
            self.notify()
            await _wait(looked, _POLL_INTERVAL)
        for listener in listeners:
            listener.accept()
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked at again
        _log.info(
            log.event(
                "serving",
                addresses=", ".join(listener.address for listener in listeners),
                loop=type(self.loop).__module__.partition(".")[0],
                parser=PARSER,
                pid=os.getpid(),
            )
        )
        while self.alive and self.ppid == os.getppid():
            self.notify()
            log.flush()
            config.counters.refusals.flush()
            await _wait(self._stop, _POLL_INTERVAL)
        self.alive = False  # it may be the supervisor that has gone: answers close their connections all the same
        config.stopping()
        await self._drain(listeners, config.drain)
        for task in tasks:
            task.cancel()

    def _listeners(self, config: ServerConfig) -> list[Listener]:
        made = []
        for port, own, bound in zip(config.ports, self.sockets, _bounds(config.ports), strict=True):
            closed = config.metrics.closed(port.name)
            memory = MemoryBudget[Protocol](port.memory_limit, partial(closed, CloseReason.MEMORY))
            schedule = RequestScheduler(port.application, self.loop)
            buffer = memoryview(bytearray(READ))
            context = ProtocolContext(
                schedule, self, buffer, memory, self.loop.time, config.counters.refuse, port.truncated
            )
            listener = Listener(ListeningSocket(own.sock, bound, port.is_secure), context, config.tls, closed)
            config.metrics.watch(port.name, listener)
            made.append(listener)
        return made

    async def _poll(self, config: ServerConfig, polled: asyncio.Event) -> None:
        """Take up what has changed, for ever; set `polled` after the first time.

        In a thread, for thousands of rules take a second to load, and reviews must not wait for that; and beside the
        heartbeat, for a file system can hang.
        """
        looking = background_executor("look")
        while True:
            try:
                await self.loop.run_in_executor(looking, config.poll)
            except Exception:  # noqa: BLE001 - whatever it is, what is in force goes on being served
                _log.exception("cannot look at the files")
            polled.set()
            await asyncio.sleep(_POLL_INTERVAL)

    async def _drain(self, listeners: list[Listener], seconds: float) -> None:
        """Stop without losing a request.

        Every answer closes its connection from now on. New ones are accepted for a while, for it takes that long until
        the last client has heard; then they are refused, those that wait idle are closed, and requests in flight are
        answered.
        """
        _log.info(log.event("stopping", accepting_for=seconds))
        deadline = self.loop.time() + seconds
        while self.loop.time() < deadline and not self._quick_shutdown:
            self.notify()
            await asyncio.sleep(0.05)
        for listener in listeners:
            listener.refuse()
        deadline = self.loop.time() + REQUEST_TIMEOUT
        while any(listener.open for listener in listeners) and self.loop.time() < deadline and not self._quick_shutdown:
            self.notify()
            # Meanwhile is read what came while the process stood still: with the connection it would be lost.
            await asyncio.sleep(0.05)
            for listener in listeners:
                listener.close_idle()
        _log.info(log.event("stopped", cut_off=sum(listener.open for listener in listeners)))

    def _cleanup(self) -> None:
        # From here on nobody waits for an answer, and a signal that came while the loop is taken down would only be
        # said as a fault: Ctrl-C in a terminal reaches this process twice, from there and from its supervisor.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        super()._cleanup()

    def handle_exit_signal(self) -> None:
        """Begin to stop, on SIGTERM."""
        super().handle_exit_signal()
        self._stop.set()

    def handle_quit_signal(self) -> None:
        """Stop at once, on SIGINT or SIGQUIT."""
        super().handle_quit_signal()
        self._stop.set()


def _bounds(ports: Sequence[PortConfig]) -> list[int]:
    """Say how many connections each port may hold: where descriptors are scarce, the smaller ones go first."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sum(port.connections for port in ports) + _RESERVED_FILES
    if files != resource.RLIM_INFINITY and files < wanted:
        files = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    left = wanted if files == resource.RLIM_INFINITY else files
    left -= _RESERVED_FILES
    bounds = {}
    for number, port in enumerate(sorted(ports, key=lambda port: port.connections)):
        share = left if number == len(ports) - 1 else left // 4
        bounds[port.name] = min(port.connections, share)
        left -= bounds[port.name]
    return [bounds[port.name] for port in ports]


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than some seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
