"""Requests parsed from pieces of any size. What is refused is in test_request_smuggling.py."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from webhook.server.request_parser import Head, MalformedRequest, RequestParser

GET = b"GET /a%20b?c=%20d HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n\r\n\r\n\r\n\r\nabc"
CHUNKS = (
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n5;a=b\r\n\r\n\r\nd\r\n0\r\nAccept: y\r\nX-Sum: 1\r\n\r\n"
)
UPGRADE = GET.replace(b"Host", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost")


def parse(data: bytes, size: int = 1 << 30) -> Iterator[tuple[Head, bytes]]:
    """Feed pieces of at most `size` bytes, and yield each request."""
    parser = RequestParser()
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        while piece:
            piece = piece[parser.feed(memoryview(piece)) :]
            if parser.is_complete:
                assert parser.head is not None
                yield parser.head, bytes(parser.body)
                parser.start_next()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 11, 64, 1 << 30])
def test_requests_end_where_their_framing_says(size: int) -> None:
    sent = [GET, LENGTH, GET, CHUNKS, CHUNKS, b"\r\n" + GET, UPGRADE, LENGTH, b"\r\n" + CHUNKS, GET]
    found = list(parse(b"".join(sent), size))
    assert [head.path for head, _ in found] == [b"/a%20b" if b"GET" in each else b"/" for each in sent]
    bodies = {GET: b"", LENGTH: b"\r\n" * 4 + b"abc", CHUNKS: b"abc\r\n\r\nd", UPGRADE: b""}
    assert [body for _, body in found] == [bodies[each.lstrip(b"\r\n")] for each in sent]
    assert all((head.headers[b"host"], head.headers.get(b"accept")) == (b"x", None) for head, _ in found)


def test_bytes_of_next_request_are_not_used() -> None:
    for request in (GET, LENGTH, CHUNKS, UPGRADE):
        parser = RequestParser()
        assert parser.feed(request + b"nonsense") == len(request)
        assert parser.is_complete


def test_head_before_body() -> None:
    parser = RequestParser()
    parser.feed(LENGTH[:-12])
    assert parser.head is None
    parser.feed(LENGTH[-12:-3])
    assert parser.head == Head(
        b"POST", b"/", {b"host": b"x", b"content-length": b"11"}, 11, expects_continue=False, keeps_alive=True
    )
    assert (bytes(parser.body), parser.is_complete) == (b"\r\n" * 4, False)


def test_headers_of_one_name_are_a_list() -> None:
    ((head, _),) = parse(GET.replace(b"Host", b"A: 1\r\na: 2\r\nHost"))
    assert head.headers[b"a"] == b"1, 2"


@pytest.mark.parametrize(
    ("headers", "version", "expected"),
    [
        (b"Expect: 100-Continue", b"1.1", True),
        (b"Expect: 100-continue", b"1.0", False),
        (b"Expect: 42", b"1.1", False),
        (b"X: y", b"1.1", False),
    ],
)
def test_expectation(headers: bytes, version: bytes, expected: bool) -> None:
    ((head, _),) = parse(LENGTH.replace(b"Host", headers + b"\r\nHost").replace(b"/1.1", b"/" + version))
    assert head.expects_continue is expected


@pytest.mark.parametrize(
    ("connection", "version", "expected"),
    [
        (b"x", b"1.1", True),
        (b"close", b"1.1", False),
        (b"TE, Close", b"1.1", False),
        (b"keep-alive", b"1.0", True),
        (b"x", b"1.0", False),
    ],
)
def test_keep_alive(connection: bytes, version: bytes, expected: bool) -> None:
    sent = b"Connection: %b\r\nHost" % connection
    for request in (GET, LENGTH):
        ((head, _),) = parse(request.replace(b"Host", sent).replace(b"/1.1", b"/" + version))
        assert head.keeps_alive is expected


HEADERS = b"X: y\r\n" * 99
LONG_EXTENSION = b"0;" + b"x" * 5000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET.replace(b"?", b"x" * 4080 + b"?"), None),
        (GET.replace(b"?", b"x" * 4100 + b"?"), 414),
        (GET.replace(b"?", b"x" * 5000), 414),
        (b"GET /" + b"x" * 5000, 414),
        (GET.replace(b"Host", HEADERS + b"Host"), None),
        (GET.replace(b"Host", HEADERS + b"X: y\r\nHost"), 431),
        (GET.replace(b"Host", b"X: %b\r\nHost" % (b"y" * 8189)), None),
        (GET.replace(b"Host", b"X: %b\r\nHost" % (b"y" * 8190)), 431),
        (GET.replace(b"Host", b"%b: y\r\nHost" % (b"X" * 8190)), 431),
        (GET.replace(b"Host", b"X: %b\r\n" % (b"y" * 8000) * 8 + b"Host"), None),
        (GET.replace(b"Host", b"X: %b\r\n" % (b"y" * 8000) * 9 + b"Host"), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000, 431),
        (CHUNKS.replace(b"X-Sum: 1\r\n", HEADERS[:-18]), None),
        (CHUNKS.replace(b"X-Sum: 1\r\n", HEADERS), 431),
        (CHUNKS.replace(b"X-Sum: 1", b"X-Sum: " + b"1" * 9000), 431),
        (CHUNKS.replace(b"X-Sum: 1\r\n\r\n", b"X-Sum: " + b"1" * 140_000), 431),
        (CHUNKS.replace(b";a=b", b";a=" + b"b" * 140_000), 431),
        (CHUNKS.replace(b"3\r\nabc\r\n", b"1\r\na\r\n" * 20_000), None),
        (CHUNKS.replace(b"3\r\nabc", b"7bc\r\n" + b"\r\n" * 990), None),
        (CHUNKS.replace(b"3\r\nabc", b"7f8\r\n" + b"\r\n" * 1020), 400),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("size", [1000, 64 * 1024])
def test_limits_of_head_and_framing(sent: bytes, status: int | None, size: int) -> None:
    found = None
    try:
        assert len(list(parse(sent, size))) == 1
    except MalformedRequest as error:
        found = error.status
    assert found == status


@pytest.mark.parametrize("sent", [GET[:-1], CHUNKS[:-1], LENGTH[:-1]])
def test_parser_is_freed_without_garbage_collection(sent: bytes) -> None:
    parser = RequestParser()
    parser.feed(sent)
    reference = weakref.ref(parser)
    gc.disable()
    try:
        del parser
        assert reference() is None
    finally:
        gc.enable()
