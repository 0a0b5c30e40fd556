"""One connection with a clock that the test sets, and input that is split at every byte."""

import asyncio
import math
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest

from tests.support.polling import eventually
from tests.support.server_process import Place
from webhook.admission import review
from webhook.server import http1, routes
from webhook.server.applications import Application
from webhook.server.memory_budget import MemoryBudget
from webhook.server.refusals import Refusal, Refused
from webhook.server.request_scheduler import SMALL, RequestScheduler
from webhook.server.routes import Reply, Request

GET = b"GET /a%20b?c=%20d HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345"
LONG = 24 * 1024 * 1024  # more than all buffers on the way
MOST = 64 * 1024 * 1024


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Serving:
    """A server that can be told to stop."""

    alive = True


class Protocol(http1.Protocol):
    """A protocol that counts received bytes."""

    received = 0
    is_connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.is_connected = True

    def buffer_updated(self, nbytes: int) -> None:
        self.received += nbytes
        super().buffer_updated(nbytes)


class Connection:
    """Both sides of a connection over TCP or TLS."""

    def __init__(self, application: Application, most: int) -> None:
        self.clock = Clock()
        self.serving = Serving()
        self.is_lost = asyncio.Event()
        self.evictions = 0
        self.refused: list[Refused] = []
        self.memory = MemoryBudget(most, self._on_evict)
        buffer = memoryview(bytearray(http1.READ))
        self.scheduler = RequestScheduler(application, asyncio.get_running_loop())
        common = http1.ProtocolContext(
            self.scheduler, self.serving, buffer, self.memory, self.clock, self.refused.append
        )
        self.protocol = Protocol(common, "192.0.2.1", lambda _: self.is_lost.set())
        self._sent = 0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    def _on_evict(self) -> None:
        self.evictions += 1

    async def send(self, sent: bytes) -> None:
        """Send, and wait until the server has received it, unless it stops reading before that."""
        self._sent += len(sent)
        self.writer.write(sent)
        await self.writer.drain()
        await eventually(
            lambda: (
                self.protocol.received == self._sent
                or self.is_lost.is_set()
                or not self.protocol.transport.is_reading()
            )
        )

    async def answer(self) -> bytes:
        """Read one answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return head + await self.reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))


@asynccontextmanager
async def connected(
    application: Application = lambda _: routes.about(), place: Place | None = None, most: int = MOST
) -> AsyncIterator[Connection]:
    made = Connection(application, most)
    context = trust = None
    if place is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(place.folder / "tls.crt", place.folder / "tls.key")
        trust = place.trust
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: made.protocol, "127.0.0.1", 0, ssl=context) as server:
        made.reader, made.writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), ssl=trust, server_hostname="localhost" if trust else None
        )
        await eventually(lambda: made.protocol.is_connected)
        yield made
        made.writer.transport.abort()
        await made.is_lost.wait()
        assert made.protocol.is_lost


def test_deadline_of_request_and_idle_connection() -> None:
    async def run() -> None:
        async with connected() as connection:
            clock, server = connection.clock, connection.protocol
            assert (server.is_idle, server.deadline) == (False, 1000 + http1.REQUEST_TIMEOUT)
            clock.now += 2
            await connection.send(GET[:10])
            assert (server.is_idle, server.deadline) == (False, 1000 + http1.REQUEST_TIMEOUT)
            clock.now += 1
            await connection.send(GET[10:])
            await connection.answer()
            assert (server.is_idle, server.deadline) == (True, 1003 + http1.KEEPALIVE_TIMEOUT)
            clock.now += 100
            await connection.send(HALF[:-5])
            assert (server.is_idle, server.deadline) == (False, 1103 + http1.REQUEST_TIMEOUT)
            clock.now += 4
            await connection.send(HALF[-5:])
            assert (server.is_idle, server.deadline) == (False, 1103 + http1.REQUEST_TIMEOUT)

    asyncio.run(run())


def test_deadline_of_unread_answer_restarts_with_each_piece() -> None:
    async def run() -> None:
        async with connected(lambda _: Reply(200, (), bytes(LONG))) as connection:
            clock, server = connection.clock, connection.protocol
            clock.now += 50
            await connection.send(GET)
            assert (server.is_idle, server.deadline) == (False, 1050 + http1.REQUEST_TIMEOUT)
            clock.now += 4
            head = await connection.reader.readuntil(b"\r\n\r\n")
            await connection.reader.readexactly(LONG // 4)
            await eventually(lambda: server.deadline == 1054 + http1.REQUEST_TIMEOUT)
            assert not server.is_idle
            clock.now += 4
            assert b"Content-Length: %d\r\n" % LONG in head
            await connection.reader.readexactly(LONG - LONG // 4)
            await eventually(lambda: server.is_idle)
            assert server.deadline == 1058 + http1.KEEPALIVE_TIMEOUT
            await connection.send(GET)
            await connection.answer()

    asyncio.run(run())


async def _nothing(_: Connection) -> None:
    pass


async def _half_a_head(connection: Connection) -> None:
    await connection.send(GET[:-4])


async def _half_a_body(connection: Connection) -> None:
    await connection.send(HALF)


async def _half_of_a_second(connection: Connection) -> None:
    await connection.send(GET)
    await connection.answer()
    await connection.send(HALF)


async def _refused(connection: Connection) -> None:
    await connection.send(HALF.replace(b"10", b"99999999"))
    assert (await connection.answer()).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("until", [_nothing, _half_a_head, _half_a_body, _half_of_a_second, _refused])
def test_expire_aborts_partial_request(until: Callable[[Connection], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with connected() as connection:
            await until(connection)
            connection.protocol.expire()
            with pytest.raises(ConnectionResetError):
                await connection.reader.read()

    asyncio.run(run())


def test_expire_aborts_unread_answer() -> None:
    async def run() -> None:
        async with connected(lambda _: Reply(200, (), bytes(LONG))) as connection:
            await connection.send(GET)
            connection.protocol.expire()
            with pytest.raises(ConnectionResetError):
                await connection.reader.readexactly(LONG)

    asyncio.run(run())


@pytest.mark.parametrize("secure", [True, False])
def test_expire_closes_idle_connection_gracefully(secure: bool, place: Place) -> None:
    async def run() -> None:
        async with connected(place=place if secure else None) as connection:
            await connection.send(GET)
            await connection.answer()
            assert connection.protocol.is_idle
            connection.protocol.expire()
            assert not connection.protocol.is_idle
            assert await connection.reader.read() == b""

    asyncio.run(run())


@pytest.mark.parametrize("secure", [True, False])
def test_expire_after_client_has_gone_raises_nothing(
    secure: bool, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        failed: list[Exception] = []
        async with connected(place=place if secure else None) as connection:
            lost = connection.protocol.connection_lost

            def late(error: Exception | None) -> None:
                try:
                    connection.protocol.expire()
                except Exception as fault:  # noqa: BLE001 - whatever it is would end the task that expires all
                    failed.append(fault)
                lost(error)

            monkeypatch.setattr(connection.protocol, "connection_lost", late)
            await connection.send(HALF)
        assert failed == []

    asyncio.run(run())


def test_connection_with_pipelined_request_not_idle() -> None:
    # A stopping server closes idle connections, and must not lose a request that has arrived.
    async def run() -> None:
        idle: list[bool] = []

        def answer(_: Request) -> Reply:
            idle.append(connection.protocol.is_idle)
            return routes.about()

        async with connected(answer) as connection:
            await connection.send(GET * 3)
            await eventually(lambda: len(idle) == 3)
            assert idle == [False, False, False]
            assert connection.protocol.is_idle

    asyncio.run(run())


def test_answer_while_stopping_closes_connection() -> None:
    async def run() -> None:
        async with connected() as connection:
            await connection.send(GET)
            assert b"Connection: close" not in await connection.answer()
            connection.serving.alive = False
            await connection.send(GET + GET)
            assert b"\r\nConnection: close\r\n" in await connection.answer()
            assert await connection.reader.read() == b""

    asyncio.run(run())


def test_application_error_logged_and_next_request_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(request: Request) -> Reply:
        if request.path == b"/fails":
            raise ValueError("hunter2")
        return routes.about()

    async def run() -> None:
        async with connected(answer) as connection:
            await connection.send(GET.replace(b"/a%20b", b"/fails") + GET)
            assert (await connection.answer()).startswith(b"HTTP/1.1 500 ")
            assert (await connection.answer()).startswith(b"HTTP/1.1 200 ")

    asyncio.run(run())
    (record,) = caplog.records
    assert record.getMessage().startswith('answering a request failed error="ValueError at webhook.server.')


class Written(asyncio.Transport):
    """A transport that records writes, so that input can be split anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.bytes += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


BODY = review.encode_review({"spec": {"containers": [{"name": "a", "image": "nginx"}]}})
HEAD = b"POST /mutate?a=b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_memory_of_partial_request_counted_until_complete() -> None:
    async def run() -> None:
        async with connected() as connection:
            await connection.send(HALF[:20])
            assert connection.memory.total == 20
            await connection.send(HALF[20:])
            assert connection.memory.total == len(HALF)
            await connection.send(b"67890")
            await connection.answer()
            assert connection.memory.total == 0
            await connection.send(HALF)
            assert connection.memory.total == len(HALF)
        assert connection.memory.total == 0

    asyncio.run(run())


def test_memory_limit_exceeded_refuses_request_and_discards_rest() -> None:
    async def run() -> None:
        async with connected(most=1000) as connection:
            await connection.send(HALF.replace(b" 10", b" 5000") + b"x" * 2000)
            answer = await connection.answer()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Connection: close\r\n" in answer
            assert (connection.memory.total, connection.evictions) == (0, 1)
            await connection.send(b"x" * 3000 + GET)
            assert connection.memory.total == 0
            assert not connection.protocol.is_idle

    asyncio.run(run())


@pytest.mark.parametrize("secure", [False, True], ids=["TCP", "TLS"])
def test_memory_limit_exceeded_by_unread_answer_aborts(secure: bool, place: Place) -> None:
    async def run() -> None:
        answer = Reply(200, (), bytes(LONG))
        async with connected(lambda _: answer, place if secure else None, most=LONG // 2) as connection:
            connection.writer.write(GET)
            await connection.is_lost.wait()
            assert (connection.memory.total, connection.evictions) == (0, 1)
        async with connected(lambda _: answer, place if secure else None, most=2 * LONG) as connection:
            await connection.send(GET)
            assert LONG // 2 < connection.memory.total <= LONG + 2**20
            await connection.answer()
            assert connection.memory.total == 0

    asyncio.run(run())


LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n%b\r\n%X\r\n%b\r\n0\r\n\r\n" % (
    BODY[:3],
    len(BODY) - 3,
    BODY[3:],
)


@pytest.mark.parametrize("sent", [LENGTH, CHUNKS, GET], ids=["length", "chunks", "no body"])
def test_request_split_anywhere_is_the_same(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Request] = []

    def answer(request: Request) -> Reply:
        found.append(request)
        return routes.about()

    # All connections of a server read into one buffer.
    buffer = memoryview(bytearray(http1.READ))
    # What came before would have some wait for their turn, and no loop runs here.
    with closing(asyncio.new_event_loop()) as loop:
        schedule = RequestScheduler(answer, loop)
    monkeypatch.setattr(schedule, "answer", lambda request, _: answer(request))
    common = http1.ProtocolContext(
        schedule, Serving(), buffer, MemoryBudget(MOST, lambda: None), Clock(), lambda _: None
    )

    def connection() -> http1.Protocol:
        made = http1.Protocol(common, "192.0.2.1", lambda _: None)
        made.connection_made(Written())
        return made

    def take(made: http1.Protocol, piece: bytes) -> None:
        made.get_buffer(-1)[: len(piece)] = piece
        made.buffer_updated(len(piece))

    cut, whole = connection(), connection()
    take(whole, sent)
    (expected,) = found
    for at in range(1, len(sent)):
        found.clear()
        take(cut, sent[:at])
        take(whole, sent.replace(b"nginx", b"other").replace(b"%20", b"%21").replace(b"Host: x", b"Host: y"))
        take(cut, sent[at:])
        assert found[-1] == expected, sent[:at]
        assert len(found) == 2
    assert expected.path in {b"/mutate", b"/a%20b"}
    assert expected.body in {BODY, b""}


async def _send_body(connection: Connection, size: int) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    await connection.send(sent)


def test_pending_request_has_no_deadline_and_is_counted() -> None:
    async def run() -> None:
        go = threading.Event()

        def answer(_: Request) -> Reply:
            assert go.wait(10)
            return routes.about()

        async with connected(answer) as connection:
            size = SMALL + 1
            await _send_body(connection, size)
            server = connection.protocol
            assert (server.is_idle, server.deadline) == (False, math.inf)
            assert connection.memory.total == size
            # What is sent behind it waits, and is answered after it.
            await connection.send(GET)
            assert connection.memory.total == size + len(GET)
            go.set()
            for _ in range(2):
                assert (await connection.answer()).startswith(b"HTTP/1.1 200 ")
            assert connection.memory.total == 0
            assert server.is_idle

    asyncio.run(run())


def test_pending_request_of_gone_client_cancelled() -> None:
    async def run() -> None:
        go = threading.Event()
        sizes: list[int] = []

        def answer(request: Request) -> Reply:
            sizes.append(len(request.body))
            assert go.wait(10)
            return routes.about()

        async with connected(answer) as connection:
            # Occupy the thread.
            connection.scheduler.answer(Request(b"POST", b"/", {}, bytes(SMALL + 1)), lambda _: None)
            await _send_body(connection, SMALL + 2)
            connection.writer.close()
            await connection.is_lost.wait()
            assert connection.memory.total == 0
            is_answered = asyncio.Event()
            behind = Request(b"POST", b"/", {}, bytes(SMALL + 3))
            connection.scheduler.answer(behind, lambda _: is_answered.set())
            go.set()
            await is_answered.wait()
        assert sizes == [SMALL + 1, SMALL + 3]

    asyncio.run(run())


@pytest.mark.parametrize("pipelined", [2000, 2 * http1.READ], ids=["reading", "reading-paused"])
def test_pending_request_over_memory_limit_refused_and_expires(pipelined: int) -> None:
    async def run() -> None:
        go = threading.Event()

        def answer(_: Request) -> Reply:
            assert go.wait(10)
            return routes.about()

        async with connected(answer, most=SMALL + min(pipelined, http1.READ) - 1000) as connection:
            await _send_body(connection, SMALL + 1)
            connection.writer.write(bytes(pipelined))
            assert (await connection.answer()).startswith(b"HTTP/1.1 503 ")
            assert (connection.memory.total, connection.evictions) == (0, 1)
            assert [refused.reason for refused in connection.refused] == [Refusal.OVERLOADED]
            assert connection.refused[0].client == "192.0.2.1"
            assert connection.protocol.deadline < math.inf
            assert connection.protocol.transport.is_reading()
            go.set()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"nonsense\r\n\r\n", 400, Refusal.MALFORMED_HTTP),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414, Refusal.MALFORMED_HTTP),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431, Refusal.MALFORMED_HTTP),
        (HALF.replace(b" 10", b" 99999999"), 413, Refusal.TOO_LARGE),
        (GET.replace(b"/a", b"/fails"), 500, Refusal.INTERNAL_ERROR),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_refused_request_reported_with_client(sent: bytes, status: int, reason: Refusal) -> None:
    def answer(request: Request) -> Reply:
        raise ValueError(request.path)

    async def run() -> None:
        async with connected(answer) as connection:
            await connection.send(sent)
            assert (await connection.answer()).startswith(b"HTTP/1.1 %d " % status)
            assert [refused[:3] for refused in connection.refused] == [(status, reason, "192.0.2.1")]

    asyncio.run(run())
