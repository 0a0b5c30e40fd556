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
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from gunicorn.workers.gasgi import ASGIWorker

from webhook import log
from webhook.serving.door import Application
from webhook.serving.protocol import ARRIVAL, PARSER, READ, Protocol

#: Connections held at once on the TLS port. One more is closed as soon as it is accepted.
CONNECTIONS = 1000
#: The same on the port for probes, apart so that a flood of the one cannot starve the other.
HEALTH_CONNECTIONS = 50
#: File descriptors that are left for everything but connections.
_RESERVED_FILES = 64

_LOOK_EVERY = 0.5
_EXPIRE_EVERY = 0.25
_SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
_log = logging.getLogger("webhook.serving")


class Port(NamedTuple):
    """What is served on one listening socket."""

    application: Application
    connections: int
    secure: bool


class Site(NamedTuple):
    """All that a worker serves, in the order of its listening sockets."""

    ports: tuple[Port, ...]
    tls: Callable[[], ssl.SSLContext | None]
    """The context in force for new connections."""
    look: Callable[[], None]
    """Called twice a second: takes up what has changed."""
    stopping: Callable[[], None]
    """Called once when the worker is told to stop: readiness goes first."""
    drain: float
    """Seconds after that during which connections are still accepted."""


class Worker(ASGIWorker):  # type: ignore[misc] # gunicorn has no types
    """Serves a Site."""

    async def _serve(self) -> None:
        log.gather(self.loop.call_soon)
        try:
            await self._serve_site(self.asgi)
        finally:
            log.gather(None)

    async def _serve_site(self, site: Site) -> None:
        self._stop = asyncio.Event()
        listeners = [
            _Listener(self, port, site.tls, own.sock) for port, own in zip(site.ports, self.sockets, strict=True)
        ]
        accepting = [self.loop.create_task(listener.accept()) for listener in listeners]
        expiring = [self.loop.create_task(listener.expire()) for listener in listeners]
        # Signals are the main thread's: one that another took would end the process instead of stopping it.
        looking = ThreadPoolExecutor(1, "look", lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS))
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
            try:
                # In a thread, for thousands of rules take a second to load, and reviews must not wait for that.
                await self.loop.run_in_executor(looking, site.look)
            except Exception:  # noqa: BLE001 - whatever it is, what is in force goes on being served
                _log.exception("cannot look at the files")
            await _wait(self._stop, _LOOK_EVERY)
        site.stopping()
        await self._drain(listeners, accepting, site.drain)
        for task in expiring:
            task.cancel()

    async def _drain(self, listeners: list["_Listener"], accepting: list[asyncio.Task[None]], seconds: float) -> None:
        """Stop without losing a request.

        Every answer closes its connection from now on. New ones are accepted for a while, for it takes that long until
        the last client has heard; then those that wait idle are closed, and requests in flight are answered.
        """
        _log.info(log.event("stopping", accepting_for=seconds))
        deadline = self.loop.time() + seconds
        while self.loop.time() < deadline and not self._quick_shutdown:
            self.notify()
            await asyncio.sleep(0.05)
        for task in accepting:
            task.cancel()
        deadline = self.loop.time() + ARRIVAL
        while any(listener.open for listener in listeners) and self.loop.time() < deadline and not self._quick_shutdown:
            self.notify()
            for listener in listeners:
                listener.close_idle()
            await asyncio.sleep(0.05)
        _log.info(log.event("stopped", cut_off=sum(listener.open for listener in listeners)))

    def _cleanup(self) -> None:
        # From here on nobody waits for an answer, and a signal that came while the loop is taken down would only be
        # said as a fault: Ctrl-C in a terminal reaches this process twice, from there and from its supervisor.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        super()._cleanup()

    def handle_exit_signal(self) -> None:
        """Begin to stop, on SIGTERM."""
        super().handle_exit_signal()
        self._stop.set()

    def handle_quit_signal(self) -> None:
        """Stop at once, on SIGINT or SIGQUIT."""
        super().handle_quit_signal()
        self._stop.set()


class _Listener:
    """Accepts connections on one socket, up to a bound, and knows those that are open."""

    def __init__(
        self, worker: Worker, port: Port, tls: Callable[[], ssl.SSLContext | None], sock: socket.socket
    ) -> None:
        self._worker = worker
        self._port = port
        self._tls = tls
        self._socket = sock
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        unbounded = files == resource.RLIM_INFINITY
        self._limit = port.connections if unbounded else min(port.connections, files - _RESERVED_FILES)
        self._buffer = memoryview(bytearray(READ))
        self._protocols: set[Protocol] = set()
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """Connections that are open or in their handshake."""
        return len(self._protocols) + len(self._handshakes)

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._port.secure else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def accept(self) -> None:
        """Accept for ever."""
        loop = self._worker.loop
        while True:
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                # Out of descriptors, or the client went: neither is a reason to stop.
                _log.warning(log.event("cannot accept a connection", why=error.strerror))
                await asyncio.sleep(0.1)
                continue
            context = self._tls() if self._port.secure else None
            if self.open >= self._limit or (self._port.secure and context is None):
                connection.close()
                continue
            task = loop.create_task(self._connect(connection, context))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _connect(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = self._worker.loop
        protocol = Protocol(self._port.application, self._worker, self._buffer, loop.time, self._protocols.discard)
        secure = {} if context is None else {"ssl_handshake_timeout": ARRIVAL, "ssl_shutdown_timeout": 1.0}
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **secure)
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError: no TLS, or no TLS that is spoken here
            connection.close()
            return
        if not protocol.is_lost:
            self._protocols.add(protocol)

    async def expire(self) -> None:
        """Close connections whose time is over, for ever."""
        while True:
            await asyncio.sleep(_EXPIRE_EVERY)
            now = self._worker.loop.time()
            for protocol in list(self._protocols):
                if protocol.deadline <= now:
                    try:
                        protocol.expire()
                    except Exception:  # noqa: BLE001 - whatever it is, the others' time is to be watched
                        _log.exception("cannot close a connection")

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for protocol in list(self._protocols):
            if protocol.is_idle:
                protocol.close()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than some seconds."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
