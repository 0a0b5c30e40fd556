"""HTTP/1.1 on one connection: requests of limited size and duration, answered in the order in which they arrived.

`RequestScheduler` answers most requests as soon as their last byte is read. A task for each request would cost as much
as a review.

A connection has one deadline at a time: for the first request, counted from the accept; for each further request,
counted from its first byte; for the client to read an answer; or for the next request to begin. The listener calls
`expire` after the deadline, so no request needs a timer. `MemoryBudget` limits the bytes that all connections hold.
"""

import asyncio
import logging
import socket
import struct
import time
import typing
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from math import inf
from typing import NamedTuple, cast

from webhook import log
from webhook.admission import review
from webhook.server import routes
from webhook.server.memory_budget import MemoryBudget
from webhook.server.refusals import Refusal, Refused
from webhook.server.request_parser import Head, MalformedRequest, RequestParser
from webhook.server.request_scheduler import PendingRequest, RequestScheduler
from webhook.server.routes import Reply, Request

#: Seconds for a TLS handshake and the first request, and for each further request from its first byte on. Also for a
#: client that has stopped reading an answer to continue.
REQUEST_TIMEOUT = 5.0
#: Seconds. API servers keep idle connections for 90 s; closing one sooner can lose a request that is on its way.
KEEPALIVE_TIMEOUT = 120.0
#: Bytes read at once.
READ = 64 * 1024
#: Bytes. A longer answer is written in pieces, to notice that a client has stopped reading, and to count what is not
#: written yet.
_PIECE = 32 * 1024
#: Copies of an unread byte: the answer, its encryption, and the buffers of OpenSSL and of the event loop.
_COPIES = 4
#: SO_LINGER: discard unsent data on close.
_ABORT = struct.pack("ii", 1, 0)

_log = logging.getLogger("webhook.server")


class Serving(typing.Protocol):
    """The server as its connections see it."""

    alive: bool
    """Once this is false, each answer closes its connection."""


class ProtocolContext(NamedTuple):
    """The state that all connections of a port share."""

    scheduler: RequestScheduler
    serving: Serving
    buffer: memoryview
    """`READ` bytes into which every connection reads."""
    memory: MemoryBudget
    clock: Callable[[], float]
    """Returns seconds."""
    on_refuse: Callable[[Refused], None]
    truncated: Callable[[Request], Reply | None] = lambda _: None
    """Answers a request with the beginning of a body that is too large; returns None if it cannot."""


class Protocol(asyncio.BufferedProtocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, context: ProtocolContext, client: str, on_lost: Callable[["Protocol"], None]) -> None:
        self._context = context
        self._on_lost = on_lost
        self._received = 0  # bytes of a request that is not complete or not answered: head, framing and body
        self._parser = RequestParser()
        self._is_asked_for_body = False
        self._unsent = memoryview(b"")
        self._is_closing = False  # close the connection after the answer that is being written
        self._is_paused = False  # the client has stopped reading
        self._pipelined = b""  # what follows the request that is being answered
        self._is_discarding = False  # ignore further input
        self._pending: PendingRequest | None = None  # a complete request in a queue
        self._keeps_alive = self._with_body = True  # how that request is answered
        #: The client's address.
        self.client = client
        #: Whether it waits for the first byte of a request.
        self.is_idle = False
        self.is_lost = False
        #: Time at which the connection expires; infinite while the client waits for the server.
        self.deadline = context.clock() + REQUEST_TIMEOUT

    @property
    def since(self) -> float:
        """Time at which the current wait for the client began; infinite while the client waits for the server."""
        return self.deadline - (KEEPALIVE_TIMEOUT if self.is_idle else REQUEST_TIMEOUT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_PIECE)  # over TLS it would be half a megabyte

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self.is_lost = True
        self._cancel()
        self._context.memory.set_usage(self, 0)
        self._on_lost(self)
        # Break the reference cycle: what TLS holds for a connection is too much to leave to the garbage collector.
        del self.transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Return a buffer, smaller by what waits for its turn."""
        buffer = self._context.buffer
        return buffer[: READ - len(self._pipelined)] if self._pipelined else buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._feed(self._context.buffer[:nbytes])

    def pause_writing(self) -> None:
        """Start the write timeout: the client has stopped reading."""
        self._is_paused = True
        self._start_request_timeout()
        self.transport.pause_reading()
        self._update_memory()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._send()
        if self._is_paused or self._is_discarding:
            return
        self._start_idle_timeout()
        self._resume()

    def expire(self) -> None:
        """Close gracefully if idle, abort otherwise."""
        if self.is_idle:
            self.close()
        else:
            connection = self.transport.get_extra_info("socket")
            # None if the client has gone and `connection_lost` is still to be called.
            if connection is not None:
                # Otherwise the kernel would keep the unread bytes for a long time.
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self.transport.abort()

    def evict(self) -> None:
        """Free this connection's buffers: it is the largest consumer and the memory budget is exceeded."""
        if self._is_paused:
            self._unsent, self._pipelined = memoryview(b""), b""
            self.expire()
        else:
            if self._pending is not None:
                self._cancel()
                # The client no longer waits for the server, and reading may be paused because of what it pipelined.
                self._start_request_timeout()
                self.transport.resume_reading()
            self._drop_body(self._refuse(routes.OVERLOADED, Refusal.OVERLOADED))

    def close(self) -> None:
        """Close when everything written is sent."""
        self._start_request_timeout()
        self._is_discarding = True
        self.transport.close()

    def _cancel(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def _start_request_timeout(self) -> None:
        self.is_idle = False
        self.deadline = self._context.clock() + REQUEST_TIMEOUT

    def _start_idle_timeout(self) -> None:
        self.is_idle = True
        self.deadline = self._context.clock() + KEEPALIVE_TIMEOUT

    def _update_memory(self) -> None:
        """Report the bytes held of requests, and of answers while the client does not read."""
        size = self._received
        if self._is_paused:
            size += len(self._pipelined) + len(self._unsent) + _COPIES * self.transport.get_write_buffer_size()
        elif self._pending is not None:
            size += len(self._pipelined)
        self._context.memory.set_usage(self, size)

    def _feed(self, data: bytes | memoryview) -> None:
        if self._is_discarding:
            return
        if self._pending is not None:
            # Reading continues, to notice if the client disconnects.
            self._pipelined += data
            if len(self._pipelined) >= READ:
                self.transport.pause_reading()
            self._update_memory()
            return
        if self._context.memory.is_exhausted:
            self._feed_later(bytes(data))
            return
        parser = self._parser
        try:
            used = parser.feed(data)
        except MalformedRequest as error:
            problem = log.shorten(f"the request is malformed: {error}", 200)
            self._write(self._refuse(routes.text(error.status, problem), Refusal.MALFORMED_HTTP), is_closing=True)
            return
        if parser.head is None or not parser.is_complete:
            self._handle_partial(len(data))
            return
        rest = bytes(data[used:])
        self._answer(parser.head)
        if not rest or self._is_discarding:
            return
        if self._pending is not None:
            self._pipelined = rest
            self._update_memory()
        else:
            # One request per iteration of the event loop, because other connections wait too.
            self._start_request_timeout()
            self._feed_later(rest)

    def _feed_later(self, data: bytes) -> None:
        self._pipelined = data
        if self._is_paused:
            self._update_memory()
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        """Resume reading, first with what followed the last request."""
        if self.is_lost or self._is_paused or self._is_discarding or self.transport.is_closing():
            return
        rest, self._pipelined = self._pipelined, b""
        self.transport.resume_reading()
        if rest:
            self._feed(rest)

    def _handle_partial(self, received: int) -> None:
        """Check an incomplete request after reading `received` more bytes."""
        if self.is_idle:
            self._start_request_timeout()
        self._received += received
        self._update_memory()
        head, body = self._parser.head, self._parser.body
        if head is None or self._is_discarding:
            return
        expects = head.expects_continue and not self._is_asked_for_body
        if max(len(body), head.content_length or 0) > review.BODY_LIMIT:
            # The beginning of the body has the review's uid. An API server sends it immediately after the head.
            if body or expects:
                self._drop_body(self._answer_truncated(head))
        elif expects:
            self._is_asked_for_body = True
            # RFC 9110 section 10.1.1: not if the client sends the body anyway.
            if not body:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, reply: Reply, reason: Refusal) -> Reply:
        """Report a refusal, and return the reply."""
        self._context.on_refuse(Refused(reply.status, reason, self.client, reply.line))
        return reply

    def _answer_truncated(self, head: Head) -> Reply:
        """Answer a request whose body is too large from its beginning."""
        request = self._request(head, bytes(self._parser.body[:READ]))
        return self._context.truncated(request) or self._refuse(routes.TOO_LARGE, Refusal.TOO_LARGE)

    def _drop_body(self, reply: Reply) -> None:
        """Answer before the rest of the body has arrived, and discard the rest.

        Closing the connection now could lose the answer: many clients read it only when they have sent everything.
        """
        self._is_discarding = True
        self._parser.start_next()
        self._received, self._pipelined = 0, b""
        self._context.memory.set_usage(self, 0)
        self._write(reply)

    def _request(self, head: Head, body: bytes) -> Request:
        return Request(head.method, head.path, head.headers, body, self.client)

    def _answer(self, head: Head) -> None:
        self._keeps_alive = head.keeps_alive
        self._with_body = head.method != b"HEAD"
        if len(self._parser.body) > review.BODY_LIMIT:
            self._write(self._answer_truncated(head), is_closing=True)
            return
        request = self._request(head, bytes(self._parser.body))
        self._parser.start_next()
        self._is_asked_for_body = False
        reply = self._context.scheduler.answer(request, self._on_answer)
        if isinstance(reply, PendingRequest):
            self._pending = reply
            self.is_idle, self.deadline = False, inf
            self._received = len(request.body)
            self._update_memory()
            return
        if self._received:
            self._received = 0
            self._update_memory()
        self._reply(reply)

    def _on_answer(self, reply: Reply) -> None:
        """Answer the pending request, and continue with what followed it."""
        if self._pending is None:
            return  # it was cancelled
        self._pending = None
        self._received = 0
        rest, self._pipelined = self._pipelined, b""
        self._update_memory()
        self._reply(reply)
        if rest and not self._is_discarding:
            self._start_request_timeout()
            self._feed_later(rest)

    def _reply(self, reply: Reply) -> None:
        if reply is routes.FAILED:
            self._refuse(reply, Refusal.INTERNAL_ERROR)
        self._start_idle_timeout()
        self._write(
            reply, is_closing=not (self._keeps_alive and self._context.serving.alive), with_body=self._with_body
        )

    def _write(self, reply: Reply, *, is_closing: bool = False, with_body: bool = True) -> None:
        """Write an answer; `is_closing` closes the connection after it."""
        if is_closing:
            self._is_closing = self._is_discarding = True
        head = _head(reply.status, reply.headers, int(time.time()), self._is_discarding)
        answer = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(reply.body), reply.body if with_body else b"")
        if is_closing or len(answer) > _PIECE:
            self._unsent = memoryview(answer)
            self._send()
        else:
            self.transport.write(answer)

    def _send(self) -> None:
        while self._unsent and not self._is_paused:
            self.transport.write(self._unsent[:_PIECE])
            self._unsent = self._unsent[_PIECE:]
        self._update_memory()
        # Close only when most of it is read: a closed connection has less time to send the rest.
        if self._is_closing and not self._unsent and not self._is_paused:
            self.close()


@lru_cache(16)
def _head(status: int, headers: tuple[tuple[str, str], ...], second: int, is_closing: bool) -> bytes:  # noqa: FBT001
    """Return an answer's head without its length; cached, because most heads are the same within a second."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Date: {formatdate(second, usegmt=True)}")
    if is_closing:
        lines.append("Connection: close")
    return "\r\n".join([*lines, ""]).encode("latin-1")
