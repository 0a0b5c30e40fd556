"""A simple load balancer for several servers, which passes bytes through unchanged.

Like kube-proxy it distributes new connections to ready servers in turn, and leaves open connections alone until one end
closes them; a close or reset is passed on. It checks readiness every 0.2 s. Where kube-proxy would have a connection
refused, because a server has stopped since the last check, it counts that and tries the next server. It adds 2 ms in
each direction, like a network: without any delay nothing would be in flight when a connection is closed.
"""

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import cast

from tests.support.server_process import Server

_ASK_EVERY = 0.2
_DELAY = 0.002
_NO_LINGER = struct.pack("ii", 1, 0)

_Connect = Callable[[asyncio.Transport], Awaitable[asyncio.Transport | None]]


class Balancer:
    """What clients connect to."""

    def __init__(self) -> None:
        """Listen; connections are taken once `run` is called."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.refused = 0
        """Connections that were refused by a server which was taken to be ready."""
        self._open: set[asyncio.Transport] = set()
        self._servers: list[Server] = []
        self._ready: list[Server] = []
        self._turn = 0
        self._is_stopped = threading.Event()

    def add(self, server: Server) -> None:
        """Ask a server from now on whether it is ready."""
        self._servers = [*self._servers, server]

    def remove(self, server: Server) -> None:
        """Ask a server no more, and give it no connections."""
        self._servers = [other for other in self._servers if other is not server]

    def is_given(self, server: Server) -> bool:
        """Tell whether a server is given connections now."""
        return server in self._ready

    def end(self) -> None:
        """Stop, and cut all connections off."""
        self._is_stopped.set()

    async def run(self) -> None:
        """Pass connections on until told to stop."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(self._open, self.connect), sock=self._listener)
        while not self._is_stopped.is_set():
            asked = self._servers
            answers = await asyncio.gather(*(asyncio.to_thread(_is_ready, server) for server in asked))
            self._ready = [server for server, is_ready in zip(asked, answers, strict=True) if is_ready]
            await asyncio.sleep(_ASK_EVERY)
        server.close()
        for transport in list(self._open):
            transport.abort()
        await asyncio.sleep(0.1)  # they go

    async def connect(self, client: asyncio.Transport) -> asyncio.Transport | None:
        """Connect to the server whose turn it is; None where there is none."""
        loop = asyncio.get_running_loop()
        for server in self._in_turn():
            try:
                transport, _ = await loop.create_connection(lambda: _End(self._open, client), *server.secure)
            except ConnectionRefusedError:
                self.refused += 1
            else:
                return transport
        return None

    def _in_turn(self) -> list[Server]:
        """Give the servers that are ready, beginning with the one whose turn it is."""
        self._turn += 1
        ready = self._ready
        first = self._turn % max(1, len(ready))
        return ready[first:] + ready[:first]


class _End(asyncio.Protocol):
    """One end of a connection; whatever comes goes to the other."""

    _transport: asyncio.Transport

    def __init__(self, known: set[asyncio.Transport], other: asyncio.Transport | None = None) -> None:
        self._known = known
        self._other = other
        self._held: list[bytes] = []  # what came before there was another end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # asyncio does this for connections that it makes itself alone.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._known.add(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._other is None:
            self._held.append(data)
        else:
            asyncio.get_running_loop().call_later(_DELAY, self._other.write, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._known.discard(self._transport)
        if self._other is not None:
            asyncio.get_running_loop().call_later(_DELAY, _close if exc is None else _reset, self._other)


class _Client(_End):
    """The end that came to us."""

    def __init__(self, known: set[asyncio.Transport], connect: _Connect) -> None:
        super().__init__(known)
        self._connect = connect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._beginning = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> None:
        self._other = await self._connect(self._transport)
        if self._other is None:
            _reset(self._transport)
        elif self._transport.is_closing():
            self._other.close()
        else:
            self._other.writelines(self._held)


def _close(transport: asyncio.Transport) -> None:
    """Close a connection with a goodbye, once all is sent."""
    transport.close()


def _reset(transport: asyncio.Transport) -> None:
    """Close a connection as a killed process's is closed."""
    connection = transport.get_extra_info("socket")
    if not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def _is_ready(server: Server) -> bool:
    try:
        return server.probe("/readyz").status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def balancing() -> Iterator[Balancer]:
    """Run a balancer, in a thread of its own, until the block ends."""
    balancer = Balancer()
    thread = threading.Thread(target=lambda: asyncio.run(balancer.run()), name="balancer", daemon=True)
    thread.start()
    try:
        yield balancer
    finally:
        balancer.end()
        thread.join(timeout=10)
        assert not thread.is_alive(), "the balancer does not end"
