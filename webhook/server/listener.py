"""Accepts connections on one socket, up to a limit, so that slow clients cannot use all connection slots.

When all slots are taken, connections are closed to admit a new one, in this order:
1. Those that have waited longest, and more than a second, for a handshake, a request, or an answer to be read.
2. Those of the client with the most connections, slow or not, if it has more than the new one's client would have.
   However many clients fill the slots, each gets a share. A client is an address.
3. Those of the new one's client, and of clients that have as many: first those that wait for their client, then those
   that have been idle for a second.
If there are none, the new connection is refused: in the backlog it would wait behind all that fill the slots.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from operator import itemgetter

from webhook import log
from webhook.config.listen_address import BACKLOG
from webhook.server.http1 import REQUEST_TIMEOUT, Protocol, ProtocolContext
from webhook.server.metrics import CloseReason

#: Share of all slots to free at once: checking all connections takes as long as some handshakes.
_EVICTED_SHARE = 1 / 32
#: Seconds that a connection may be idle, or wait for its client, before it can be closed for another.
_EVICTABLE_AFTER = 1.0
#: Seconds until connections are checked again if none could be closed.
_RETRY_EVICTION = 0.05
_EXPIRE_EVERY = 0.25
#: Connections accepted at once. If the backlog is full, the kernel drops further ones: clients retry after a second.
_ACCEPT_BATCH = 16
#: Seconds until the next try if accepting failed.
_ACCEPT_RETRY = 0.1
#: Bytes that the kernel buffers in each direction. By default it buffers megabytes of an answer, so that a client that
#: reads nothing is not noticed.
_SOCKET_BUFFER = 64 * 1024

_log = logging.getLogger("webhook.server")


class Listener:
    """Accepts connections on a socket, at most `limit` at a time; over TLS if `tls` is given.

    `tls` returns the current context, or None while there is no certificate. `on_close` is called with the reason for
    each connection that the server closes.
    """

    def __init__(
        self,
        listening: socket.socket,
        limit: int,
        context: ProtocolContext,
        tls: Callable[[], ssl.SSLContext | None] | None,
        on_close: Callable[[CloseReason], None],
    ) -> None:
        self._socket = listening
        self._limit = limit
        self._context = context
        self._tls = tls
        self._on_close = on_close
        # Connections inherit these options.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        # In the order in which they were accepted, each with the task that connects its transport.
        self._open: dict[Protocol, asyncio.Task[None]] = {}
        self._refused_client, self._full_until = "", 0.0

    @property
    def open(self) -> int:
        """The number of connections, including those in their handshake."""
        return len(self._open)

    @property
    def busy(self) -> int:
        """The number of connections that are not idle."""
        return sum(not protocol.is_idle for protocol in self._open)

    @property
    def buffered_bytes(self) -> int:
        """The bytes that all connections hold."""
        return self._context.memory.total

    @property
    def address(self) -> str:
        """The address that it listens on, as a URL."""
        host, port = self._socket.getsockname()[:2]
        scheme = "https" if self._tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def accept(self) -> None:
        """Accept connections from now on."""
        asyncio.get_running_loop().add_reader(self._socket, self._accept, _ACCEPT_BATCH)

    def refuse(self) -> None:
        """Accept the connections in the backlog, and let the kernel refuse new ones."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._accept(BACKLOG)
        self._socket.close()

    async def expire(self) -> None:
        """Close connections after their deadline, until cancelled."""
        while True:
            await asyncio.sleep(_EXPIRE_EVERY)
            now = self._context.clock()
            for protocol in [protocol for protocol in self._open if protocol.deadline <= now]:
                try:
                    self._close(protocol, CloseReason.IDLE if protocol.is_idle else CloseReason.TIMED_OUT)
                except Exception as error:  # noqa: BLE001 - the others' deadlines still have to be checked
                    _log.error(log.event("closing a connection failed", error=log.location(error)))

    def close_idle(self) -> None:
        """Close the connections that wait for the first byte of a request."""
        for protocol in list(self._open):
            if protocol.is_idle:
                protocol.close()

    def _accept(self, limit: int) -> None:
        """Accept up to `limit` connections from the backlog."""
        try:
            for _ in range(limit):
                connection, address = self._socket.accept()
                # The plain IPv4 address, also on a socket for both versions.
                self._serve(connection, address[0].removeprefix("::ffff:"))
        except BlockingIOError:
            pass  # the backlog is empty
        except OSError as error:
            # Out of descriptors, or the client has gone.
            _log.warning(log.event("accepting a connection failed", error=error.strerror))
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket)
            loop.call_later(_ACCEPT_RETRY, self._accept_again)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:  # not closed in the meantime
            self.accept()

    def _serve(self, connection: socket.socket, client: str) -> None:
        """Serve a connection if there is a slot for it, or one can be freed."""
        connection.setblocking(False)  # noqa: FBT003 - the socket module has no other way
        context = self._tls() if self._tls else None
        if self._tls and context is None:
            connection.close()
        elif self.open >= self._limit and not self._evict_for(client):
            self._on_close(CloseReason.FULL)
            connection.close()
        else:
            protocol = Protocol(self._context, client, self._lost)
            self._open[protocol] = asyncio.get_running_loop().create_task(self._connect(connection, protocol, context))

    async def _connect(self, connection: socket.socket, protocol: Protocol, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        # The protocol's deadline comes first; this one is for event loops that ignore the cancellation of a handshake.
        secure = {} if context is None else {"ssl_handshake_timeout": 2 * REQUEST_TIMEOUT, "ssl_shutdown_timeout": 1.0}
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # only uvloop does this by itself
            await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context, **secure)
        except (OSError, TimeoutError):  # ssl.SSLError, an OSError: the handshake failed
            self._on_close(CloseReason.HANDSHAKE)
            connection.close()
            self._lost(protocol)
        except asyncio.CancelledError:
            connection.close()
            self._lost(protocol)
            raise

    def _lost(self, protocol: Protocol) -> None:
        self._open.pop(protocol, None)

    def _close(self, protocol: Protocol, reason: CloseReason) -> None:
        """Close a connection, which may be in its handshake."""
        connecting = self._open.get(protocol)
        if connecting is None:
            return  # the client closed it first
        self._on_close(reason)
        if connecting.done():
            protocol.expire()
        else:
            connecting.cancel()

    def _evict_for(self, client: str) -> bool:
        """Close some connections to admit one from `client`; return whether there were any to close."""
        now = self._context.clock()
        if client == self._refused_client and now < self._full_until:
            return False
        counts = Counter(one.client for one in self._open)
        [(largest, number)] = counts.most_common(1)
        own = counts[client]
        room = int(self._limit * _EVICTED_SHARE) + 1
        crowding = None
        if number > own + 1:
            crowding, room = largest, min(room, (number - own) // 2)
        candidates = []
        for one in self._open:
            waited = now - one.since
            if waited > _EVICTABLE_AFTER and not one.is_idle:
                candidates.append((0, one.since, one))
            elif one.client == crowding:
                candidates.append((1 if one.is_idle else 2, one.since, one))
            elif counts[one.client] >= own and (waited > _EVICTABLE_AFTER if one.is_idle else waited >= 0):
                candidates.append((4 if one.is_idle else 3, one.since, one))
        if not candidates:
            self._refused_client, self._full_until = client, now + _RETRY_EVICTION
        candidates.sort(key=itemgetter(0, 1))
        for _, _, protocol in candidates[:room]:
            self._close(protocol, CloseReason.EVICTED)
            self._lost(protocol)
        return bool(candidates)
