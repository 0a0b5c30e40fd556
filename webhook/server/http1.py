"""HTTP/1.1 on one connection: requests with limits on their size and arrival, answered in the order they came.

gunicorn's parsers take the bytes apart: the one in C (gunicorn_h1c) where it is installed, the one in Python otherwise.
What gunicorn's own ASGI protocol builds on them, tasks and messages for every request, costs more than a review does
and is left out: `RequestScheduler` answers most requests where their last byte is read.

At every moment a connection has one deadline: for its first request from the accept on, for each further one from its
first byte on, for an answer to be read, for the next request to begin. Whoever holds the connections calls `expire`
when it has passed, so that no request costs a timer. What they hold for each other's sake is bounded by `MemoryBudget`.
"""

import asyncio
import logging
import re
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
from typing import Any, NamedTuple, cast

from gunicorn.asgi.parser import InvalidHeader, ParseError, PythonProtocol

from webhook import log
from webhook.admission import review
from webhook.server import routes
from webhook.server.memory_budget import MemoryBudget
from webhook.server.refusals import Refusal, Refused
from webhook.server.request_scheduler import PendingRequest, RequestScheduler
from webhook.server.routes import Reply, Request

try:
    from gunicorn_h1c import H1CProtocol
except ImportError:
    H1CProtocol = None

#: Seconds in which a TLS handshake and the first request must have arrived, and each further request from its first
#: byte on; also the longest that a client may leave an answer unread that is larger than the buffers on the way.
REQUEST_TIMEOUT = 5.0
#: Seconds that an idle connection is kept. The API server keeps its own for 90 s; one that is closed sooner can lose
#: the request that was on its way.
KEEPALIVE_TIMEOUT = 120.0
#: Which parser is in force.
PARSER = "python" if H1CProtocol is None else "gunicorn_h1c"

_Parser = H1CProtocol or PythonProtocol
_LIMITS = {"limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190}
#: What the parsers raise; the one in C has two classes of its own, whose nearest base in common is ValueError.
_MALFORMED = (ParseError, ValueError)
_STATUS = {"LimitRequestLine": 414, "LimitRequestHeaders": 431, "UnsupportedTransferCoding": 501}
#: Read at once, in bytes: as much as the parser in C keeps of what comes behind a whole request.
READ = 64 * 1024
#: A longer answer is written in pieces, for only between two of them can be seen that a client does not read, and what
#: is not yet written can be counted.
_PIECE = 32 * 1024
#: What is written and not read is held so often: as it was made, encrypted, in buffers of OpenSSL and of the loop.
_COPIES = 4
#: The beginning of a target in absolute form (RFC 9112 section 3.2.2), to be replaced by a slash.
_ABSOLUTE = re.compile(rb"\Ahttps?://[^/?]*/?", re.IGNORECASE)
_ABORT = struct.pack("ii", 1, 0)

_log = logging.getLogger("webhook.server")


class Serving(typing.Protocol):
    """What a connection knows of the server it belongs to."""

    alive: bool
    """Once this is false, each answer closes its connection."""


class ProtocolContext(NamedTuple):
    """What all connections of a port have in common."""

    schedule: RequestScheduler
    """What answers requests."""
    serving: Serving
    buffer: memoryview
    """What is read into, `READ` bytes long: nothing stays in it."""
    memory: MemoryBudget["Protocol"]
    """What they hold."""
    clock: Callable[[], float]
    """Gives seconds."""
    refused: Callable[[Refused], None]
    """Told of each request that is refused."""
    truncated: Callable[[Request], Reply | None] = lambda _: None
    """Answers a request of whose body, which is too large, only the beginning is there; None where that cannot be."""


class Protocol(asyncio.BufferedProtocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, context: ProtocolContext, client: str, lost: Callable[["Protocol"], None]) -> None:
        """Answer requests of the client at an address, and call `lost` when the connection is gone."""
        self._schedule = context.schedule
        self._serving = context.serving
        self._buffer = context.buffer
        self._memory = context.memory
        self._clock = context.clock
        self._refused = context.refused
        self._truncated = context.truncated
        self._lost = lost
        self._body: list[bytes] = []
        self._coalesced = 0  # so many of its pieces are as long as what was read at once,
        self._size = 0  # and so many bytes are in these
        self._received = 0  # bytes of a request that is not whole: of its body, of its head, and what frames them
        self._parser: Any = _Parser(on_body=self._body.append, **_LIMITS)
        self._is_asked_for_body = False
        self._unsent = memoryview(b"")
        self._is_closing = False  # the answer that is being written: then the connection is closed
        self._is_paused = False  # the client does not read what was written
        self._pipelined = b""  # what came behind the request that it answers
        self._is_discarding = False  # what still comes is thrown away
        self._waiting: PendingRequest | None = None  # the request that is whole, and not answered yet
        self._keeps_alive = self._with_body = True  # how that one is answered
        #: The client's address.
        self.client = client
        #: Whether it waits for a request of which nothing has come.
        self.is_idle = False
        #: Whether the connection is gone.
        self.is_lost = False
        #: When the time of whatever it waits for is over, by the clock: never, where the client waits for us.
        self.deadline = self._clock() + REQUEST_TIMEOUT

    @property
    def since(self) -> float:
        """Since when it has been waiting for its client, by the clock: for all that it does itself takes no time."""
        return self.deadline - (KEEPALIVE_TIMEOUT if self.is_idle else REQUEST_TIMEOUT)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the time in which the first request must come has been running since the accept."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_PIECE)  # over TLS it would be half a megabyte

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """End."""
        self.is_lost = True
        self._cancel()
        self._memory.set_usage(self, 0)
        self._lost(self)
        # Each knows the other, and what TLS holds for a connection is much: it is not to wait for the collector.
        del self.transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Say where to put what comes: the parser must not get more at once than it keeps."""
        return self._buffer[: READ - len(self._pipelined)] if self._pipelined else self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come, and answer what is whole."""
        self._feed(self._buffer[:nbytes])

    def pause_writing(self) -> None:
        """Give a client that does not read its answer a last while."""
        self._is_paused = True
        self._start_request_timeout()
        self.transport.pause_reading()
        self._update_memory()

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        self._is_paused = False
        self._send()
        if self._is_paused or self._is_discarding:
            return
        self._start_idle_timeout()
        self._resume()

    def expire(self) -> None:
        """Close, for the deadline has passed: with a goodbye where nothing was under way, at once otherwise."""
        if self.is_idle:
            self.close()
        else:
            connection = self.transport.get_extra_info("socket")
            # There is none where the client has gone and word of it is still to come.
            if connection is not None:
                # The kernel is to throw away what the client has not read: it would keep it for long.
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            self.transport.abort()

    def evict(self) -> None:
        """Let go of what it holds: of all connections it holds the most, and together they hold too much."""
        if self._is_paused:
            self._unsent, self._pipelined = memoryview(b""), b""
            self.expire()
        else:
            self._cancel()
            self._drop_body(self._refusal(routes.OVERLOADED, Refusal.OVERLOADED))

    def close(self) -> None:
        """Close once all that was written is sent."""
        self._start_request_timeout()
        self._is_discarding = True
        self.transport.close()

    def _cancel(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _start_request_timeout(self) -> None:
        self.is_idle = False
        self.deadline = self._clock() + REQUEST_TIMEOUT

    def _start_idle_timeout(self) -> None:
        self.is_idle = True
        self.deadline = self._clock() + KEEPALIVE_TIMEOUT

    def _update_memory(self) -> None:
        """Note how much it holds: of requests, and of answers while the client does not read."""
        size = self._received
        if self._is_paused:
            size += len(self._pipelined) + len(self._unsent) + _COPIES * self.transport.get_write_buffer_size()
        elif self._waiting is not None:
            size += len(self._pipelined)
        self._memory.set_usage(self, size)

    def _feed(self, data: bytes | memoryview) -> None:
        if self._is_discarding:
            return
        if self._waiting is not None:
            # It is read on, for only so is seen that the client has gone.
            self._pipelined += data
            if len(self._pipelined) >= READ:
                self.transport.pause_reading()
            self._update_memory()
            return
        if self._memory.is_exhausted:
            self._feed_later(bytes(data))
            return
        parser = self._parser
        try:
            parser.feed(data)
        except _MALFORMED as error:
            self._refuse_malformed(error)
            return
        if not parser.is_complete:
            self._handle_partial(len(data))
            return
        held = parser.remaining()
        self._answer()
        if not held or self._is_discarding:
            return
        if self._waiting is not None:
            self._pipelined = held
            self._update_memory()
        else:
            # One request an iteration of the event loop, for other connections wait too.
            self._start_request_timeout()
            self._feed_later(held)

    def _feed_later(self, data: bytes) -> None:
        self._pipelined = data
        if self._is_paused:
            self._update_memory()
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        """Read again, and first what came behind the last request."""
        if self.is_lost or self._is_paused or self._is_discarding or self.transport.is_closing():
            return
        held, self._pipelined = self._pipelined, b""
        self.transport.resume_reading()
        if held:
            self._feed(held)

    def _handle_partial(self, received: int) -> None:
        """See to a request of which only a part has come, and `received` bytes now."""
        if self.is_idle:
            self._start_request_timeout()
        self._received += received
        fresh = b"".join(self._body[self._coalesced :])
        if fresh:
            # Tiny pieces take more memory than they hold.
            self._body[self._coalesced :] = [fresh]
            self._coalesced += 1
            self._size += len(fresh)
        self._update_memory()
        if self._is_discarding:
            return
        expects = not self._is_asked_for_body and self._header(b"expect").lower() == b"100-continue"
        if max(self._size, self._parser.content_length or 0) > review.BODY_LIMIT:
            # The body's beginning tells which review it is. An API server sends it right behind the head.
            if self._size or expects:
                self._drop_body(self._answer_truncated())
        elif expects:
            self._is_asked_for_body = True
            # RFC 9110 section 10.1.1: not where the body comes without, and not to HTTP/1.0.
            if not self._size and self._parser.http_version >= (1, 1):
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse_malformed(self, error: Exception) -> None:
        problem = log.shorten(f"the request is malformed: {error}", 200)
        self._refuse(routes.text(_STATUS.get(type(error).__name__, 400), problem), Refusal.MALFORMED_HTTP)

    def _refuse(self, reply: Reply, reason: Refusal) -> None:
        """Answer with a refusal, the last one on this connection."""
        self._write(self._refusal(reply, reason), is_closing=True)

    def _refusal(self, reply: Reply, reason: Refusal) -> Reply:
        """Give the reply, and have the refusal counted and logged."""
        self._refused(Refused(reply.status, reason, self.client, reply.line))
        return reply

    def _answer_truncated(self) -> Reply:
        """Answer a request whose body is too large by the beginning of that."""
        beginning = b""
        for piece in self._body:
            beginning += piece[: READ - len(beginning)]
            if len(beginning) == READ:
                break
        return self._truncated(self._request(beginning)) or self._refusal(routes.TOO_LARGE, Refusal.TOO_LARGE)

    def _drop_body(self, reply: Reply) -> None:
        """Answer, and take no more of the body, before the rest of it has come.

        A client may read that only when it has sent all, or lose the connection with the answer in it. So what still
        comes is thrown away, for as long as a request may take to arrive.
        """
        self._is_discarding = True
        self._body.clear()
        self._parser = None  # it may hold a head, and is not asked any more
        self._received, self._pipelined = 0, b""
        self._memory.set_usage(self, 0)
        self._write(reply)

    def _request(self, body: bytes) -> Request:
        parser = self._parser
        target = parser.path
        if target[:1] != b"/":
            target = _ABSOLUTE.sub(b"/", target, 1)
        path, _, query = target.partition(b"?")
        fields = _headers(parser)
        headers = dict(fields)
        if len(headers) < len(fields):
            headers = _join_headers(fields)
        return Request(parser.method, path, query, headers, body, self.client)

    def _answer(self) -> None:
        parser = self._parser
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._keeps_alive = parser.should_keep_alive
        self._with_body = parser.method != b"HEAD"
        if len(body) > review.BODY_LIMIT:
            self._write(self._answer_truncated(), is_closing=True)
            return
        request = self._request(body)
        headers = request.headers
        host = headers.get(b"host")
        # RFC 9112 section 3.2. Two of them are joined with a blank, which none has.
        if parser.http_version >= (1, 1) if host is None else b" " in host:
            self._refuse_malformed(InvalidHeader("not exactly one Host header"))
            return
        if not parser.path.isascii():
            self._refuse_malformed(InvalidHeader("the target is not ASCII"))
            return
        if b"transfer-encoding" in headers and not parser.is_chunked:
            # The parser in C takes the length that it says, or none, and what follows for the next request: RFC 9112
            # section 6.3 has it refused.
            self._refuse_malformed(InvalidHeader("Transfer-Encoding does not end with chunked"))
            return
        self._body.clear()
        self._coalesced = self._size = 0
        self._is_asked_for_body = False
        parser.reset()
        reply = self._schedule.answer(request, self._answered)
        if isinstance(reply, PendingRequest):
            self._waiting = reply
            self.is_idle, self.deadline = False, inf
            self._received = len(body)
            self._update_memory()
            return
        if self._received:
            self._received = 0
            self._update_memory()
        self._reply(reply)

    def _answered(self, reply: Reply) -> None:
        """Answer the request that has waited, and go on with what has come in the meantime."""
        if self._waiting is None:
            return  # it is not wanted any more
        self._waiting = None
        self._received = 0
        held, self._pipelined = self._pipelined, b""
        self._update_memory()
        self._reply(reply)
        if held and not self._is_discarding:
            self._start_request_timeout()
            self._feed_later(held)

    def _reply(self, reply: Reply) -> None:
        if reply is routes.FAILED:
            self._refused(Refused(reply.status, Refusal.INTERNAL_ERROR, self.client, reply.line))
        self._start_idle_timeout()
        self._write(reply, is_closing=not (self._keeps_alive and self._serving.alive), with_body=self._with_body)

    def _write(self, reply: Reply, *, is_closing: bool = False, with_body: bool = True) -> None:
        """Write an answer, the last one on this connection or not."""
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
        # Not before most of it is read: for what is left when a connection is closed there is less time.
        if self._is_closing and not self._unsent and not self._is_paused:
            self.close()

    def _header(self, name: bytes) -> bytes:
        return dict(_headers(self._parser)).get(name, b"")


def _headers(parser: Any) -> list[tuple[bytes, bytes]]:
    """Give a request's headers, their names in lower case."""
    headers: list[tuple[bytes, bytes]] = parser.headers if H1CProtocol is None else parser.asgi_headers
    return headers


def _join_headers(fields: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; several of one name are one list (RFC 9110 section 5.3)."""
    headers: dict[bytes, bytes] = {}
    for name, value in fields:
        headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


@lru_cache(16)
def _head(status: int, headers: tuple[tuple[str, str], ...], second: int, is_closing: bool) -> bytes:  # noqa: FBT001
    """Give an answer's head but for its length. Within a second most are the same."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"Date: {formatdate(second, usegmt=True)}")
    if is_closing:
        lines.append("Connection: close")
    return "\r\n".join([*lines, ""]).encode("latin-1")
