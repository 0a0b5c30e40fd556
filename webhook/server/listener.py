"""Accepts connections on one socket, up to a bound, and sees to it that slow clients do not take all the places.

When all places are taken, those go that have waited longest for the rest of a handshake or a request, or for an answer
to be read, if that is more than a second. After them, those of the client that has the most, if that is more than the
newcomer's client would have, slow or not: however many clients fill the places, each gets a share. A client is an
address. Then those of the newcomer's own client, and of clients that have as many: what waits for its client, and what
has rested between two requests. Where none may go, a newcomer is turned away: kept waiting, it would wait behind all
that fill the places.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from operator import itemgetter
from typing import NamedTuple

from webhook import log
from webhook.config.listen_address import BACKLOG
from webhook.server.http1 import REQUEST_TIMEOUT, Protocol, ProtocolContext
from webhook.server.metrics import CloseReason

#: Of all places so many are made free at once, for looking through all takes as long as some handshakes.
_EVICTED_SHARE = 1 / 32
#: Seconds of rest between two requests, or of waiting for its client, after which a connection may go.
_EVICTABLE_AFTER = 1.0
#: Where nobody could go, seconds until it is looked again.
_RETRY_EVICTION = 0.05
_EXPIRE_EVERY = 0.25
#: Accepted in one turn of the loop: the kernel drops those that it has no place for, and they try again a second later.
_ACCEPT_BATCH = 16
#: Seconds after which it is accepted again where that could not be done.
_ACCEPT_RETRY = 0.1
#: Bytes that the kernel is to hold of what a client sends: so much is read at once.
_INCOMING = 64 * 1024
#: Bytes that it is to hold of answers: else it takes megabytes, and who reads nothing cannot be told from who does.
_OUTGOING = 64 * 1024

_log = logging.getLogger("webhook.server")


class ListeningSocket(NamedTuple):
    """Where is accepted, and how much of it."""

    socket: socket.socket
    connections: int
    """The most that are open at once."""
    is_secure: bool
    """Whether TLS is spoken."""


class Listener:
    """Accepts connections in one place, and knows those that are open."""

    def __init__(
        self,
        listening: ListeningSocket,
        context: ProtocolContext,
        tls: Callable[[], ssl.SSLContext | None],
        closed: Callable[[CloseReason], None],
    ) -> None:
        """Take the place, what all its connections share, the context in force, and whom to tell why one was closed."""
        self._socket = listening
        self._context = context
        # Connections have what the socket has that they were accepted on.
        listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _INCOMING)
        listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _OUTGOING)
        self._tls = tls
        self._closed = closed
        # Each with the task that it is made in, which is over when it has a transport; in the order of their accept.
        self._open: dict[Protocol, asyncio.Task[None]] = {}
        self._rejected_client, self._full_until = "", 0.0

    @property
    def open(self) -> int:
        """Connections that are open or in their handshake."""
        return len(self._open)

    @property
    def busy(self) -> int:
        """Connections that are not waiting for a request of which nothing has come."""
        return sum(not protocol.is_idle for protocol in self._open)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that they hold."""
        return self._context.memory.total

    @property
    def address(self) -> str:
        """Where it listens, as a URL."""
        host, port = self._socket.socket.getsockname()[:2]
        scheme = "https" if self._socket.is_secure else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def accept(self) -> None:
        """Accept from now on."""
        asyncio.get_running_loop().add_reader(self._socket.socket, self._accept, _ACCEPT_BATCH)

    def refuse(self) -> None:
        """Take those that have come so far, and let the kernel refuse all others."""
        asyncio.get_running_loop().remove_reader(self._socket.socket)
        self._accept(BACKLOG)
        self._socket.socket.close()

    async def expire(self) -> None:
        """Close connections whose time is over, for ever."""
        while True:
            await asyncio.sleep(_EXPIRE_EVERY)
            now = self._context.clock()
            for protocol in [protocol for protocol in self._open if protocol.deadline <= now]:
                try:
                    self._close(protocol, CloseReason.IDLE if protocol.is_idle else CloseReason.TIMED_OUT)
                except Exception:  # noqa: BLE001 - whatever it is, the others' time is to be watched
                    _log.exception("cannot close a connection")

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for protocol in list(self._open):
            if protocol.is_idle:
                protocol.close()

    def _accept(self, most: int) -> None:
        """Accept connections that wait, up to so many."""
        try:
            for _ in range(most):
                connection, address = self._socket.socket.accept()
                # An IPv4 address, also where the socket takes both kinds.
                self._begin(connection, address[0].removeprefix("::ffff:"))
        except BlockingIOError:
            pass  # there is no further one
        except OSError as error:
            # Out of descriptors, or the client went: neither is a reason to stop.
            _log.warning(log.event("cannot accept a connection", why=error.strerror))
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.socket)
            loop.call_later(_ACCEPT_RETRY, self._accept_again)

    def _accept_again(self) -> None:
        if self._socket.socket.fileno() >= 0:  # it is not closed meanwhile
            self.accept()

    def _begin(self, connection: socket.socket, client: str) -> None:
        """Serve a connection that was accepted from a client, where there is place for it."""
        connection.setblocking(False)  # noqa: FBT003 - the socket module has no other way
        context = self._tls() if self._socket.is_secure else None
        if self._socket.is_secure and context is None:
            connection.close()
        elif self.open >= self._socket.connections and not self._evict_for(client):
            self._closed(CloseReason.FULL)
            connection.close()
        else:
            protocol = Protocol(self._context, client, self._lost)
            self._open[protocol] = asyncio.get_running_loop().create_task(self._connect(connection, protocol, context))

    async def _connect(self, connection: socket.socket, protocol: Protocol, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        # The deadline is the protocol's; this is for a loop that cannot be told to end a handshake.
        secure = {} if context is None else {"ssl_handshake_timeout": 2 * REQUEST_TIMEOUT, "ssl_shutdown_timeout": 1.0}
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **secure)
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError: no TLS, or no TLS that is spoken here
            self._closed(CloseReason.HANDSHAKE)
            connection.close()
            self._lost(protocol)
        except asyncio.CancelledError:
            connection.close()
            self._lost(protocol)
            raise

    def _lost(self, protocol: Protocol) -> None:
        self._open.pop(protocol, None)

    def _close(self, protocol: Protocol, why: CloseReason) -> None:
        """Close a connection, which may be in its handshake."""
        made = self._open.get(protocol)
        if made is None:
            return  # its client was faster
        self._closed(why)
        if made.done():
            protocol.expire()
        else:
            made.cancel()

    def _evict_for(self, client: str) -> bool:
        """Close some connections for one of a client, and tell whether there were any that may go."""
        now = self._context.clock()
        if client == self._rejected_client and now < self._full_until:
            return False
        counts = Counter(one.client for one in self._open)
        [(most, number)] = counts.most_common(1)
        own = counts[client]
        room = int(self._socket.connections * _EVICTED_SHARE) + 1
        crowding = None
        if number > own + 1:
            crowding, room = most, min(room, (number - own) // 2)
        may_go = []
        for one in self._open:
            waited = now - one.since
            if waited > _EVICTABLE_AFTER and not one.is_idle:
                may_go.append((0, one.since, one))
            elif one.client == crowding:
                may_go.append((1 if one.is_idle else 2, one.since, one))
            elif counts[one.client] >= own and (waited > _EVICTABLE_AFTER if one.is_idle else waited >= 0):
                may_go.append((4 if one.is_idle else 3, one.since, one))
        if not may_go:
            self._rejected_client, self._full_until = client, now + _RETRY_EVICTION
        may_go.sort(key=itemgetter(0, 1))
        for _, _, protocol in may_go[:room]:
            self._close(protocol, CloseReason.EVICTED)
            self._lost(protocol)
        return bool(may_go)
