"""HTTP/1.1 over TLS as a client sees it."""

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.support.server_process import LONG_ANSWER, Answer, Server
from webhook.admission import review

POD: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}
BODY = review.encode_review(POD, uid="u-1")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
EXPECT = b"Expect: 100-continue\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def post(body: bytes, headers: bytes = b"") -> bytes:
    return HEAD + headers + length(body) + b"\r\n" + body


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Wire:
    """A connection on which a test sends raw bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.stream = connection.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        """Send each piece in a write of its own."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.002)
            self.connection.sendall(piece)

    def answer(self, *, bodiless: bool = False) -> Answer:
        """Read exactly one answer."""
        line = self.stream.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        status = int(line.split(b" ")[1])
        headers = http.client.parse_headers(self.stream)
        size = 0 if bodiless or status == 100 else int(headers["Content-Length"])
        return Answer(status, headers, self.stream.read(size))

    def statuses(self) -> list[int]:
        """Read answers until the server closes the connection."""
        found = []
        while self.stream.peek(1):
            found.append(self.answer().status)
        return found

    def is_open(self) -> bool:
        """Whether another request is answered."""
        try:
            self.send(GET)
            return self.answer().status == 200
        except (OSError, AssertionError):
            return False


@contextmanager
def talking(server: Server, *, window: int | None = None) -> Iterator[Wire]:
    """Connect to a server; `window` limits what the kernel buffers before it is read."""
    raw = socket.socket()
    if window is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    raw.settimeout(20)
    raw.connect(server.secure)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with server.trust.wrap_socket(raw, server_hostname="localhost") as connection:
        wire = Wire(connection)
        with wire.stream:  # a socket is open for as long as a file of it is
            yield wire


@pytest.mark.parametrize("framing", [length(BODY), CHUNKED], ids=["length", "chunks"])
@pytest.mark.parametrize("cut", [0, 10, len(HEAD) + 5, -1], ids=["whole", "request line", "headers", "last byte"])
def test_expect_continue_answered_once_a_request(server: Server, framing: bytes, cut: int) -> None:
    head = HEAD + EXPECT + framing + b"\r\n"
    body = BODY if framing != CHUNKED else chunk(BODY[:9]) + chunk(BODY[9:]) + b"0\r\n\r\n"
    with talking(server) as wire:
        for _ in range(2):
            wire.send(*filter(None, (head[:cut], head[cut:])))
            assert wire.answer().status == 100
            wire.send(body[:1], body[1:40], body[40:])
            assert wire.answer().response["uid"] == "u-1"


@pytest.mark.parametrize("there", [1, 50, len(BODY)])
def test_expect_continue_with_body_not_answered(server: Server, there: int) -> None:
    request = post(BODY, EXPECT)
    cut = len(request) - len(BODY) + there
    with talking(server) as wire:
        wire.send(*filter(None, (request[:cut], request[cut:])))
        assert wire.answer().status == 200


def test_expect_continue_of_http_1_0_ignored(server: Server) -> None:
    # RFC 9110 section 10.1.1: the expectation must be ignored.
    head, _, body = post(BODY, EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0").partition(b"\r\n\r\n")
    with talking(server) as wire:
        wire.send(head + b"\r\n\r\n")
        time.sleep(0.1)
        wire.send(body)
        assert wire.answer().status == 200


@pytest.mark.parametrize("expect", [b"", EXPECT])
def test_content_length_over_limit_refused_at_once(server: Server, expect: bytes) -> None:
    head = HEAD + expect + b"Content-Length: %d\r\n\r\n" % (review.BODY_LIMIT + 1)
    with talking(server) as wire:
        wire.send(head + (b"" if expect else b" "))
        answer = wire.answer()
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
        assert answer.body == b"body is larger than 24 MiB\n"
    with talking(server) as wire:
        wire.send(head, b" " * (review.BODY_LIMIT + 1))
        assert wire.answer().status == 413


@pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 413)])
def test_chunks_up_to_limit_answered(server: Server, over: int, status: int) -> None:
    filler = b" " * (review.BODY_LIMIT - len(BODY) + over)
    with talking(server) as wire:
        wire.send(HEAD + CHUNKED + b"\r\n" + chunk(filler) + chunk(BODY) + b"0\r\n\r\n")
        assert wire.answer().status == status


@pytest.mark.parametrize("chunked", [False, True])
def test_review_too_large_with_readable_uid_decided(server: Server, chunked: bool) -> None:
    filler = b" " * (review.BODY_LIMIT + 1 - len(BODY))
    sent = CHUNKED + b"\r\n" + chunk(BODY) + chunk(filler) + b"0\r\n\r\n"
    if not chunked:
        sent = b"Content-Length: %d\r\n\r\n" % (review.BODY_LIMIT + 1) + BODY + filler
    with talking(server) as wire:
        wire.send(HEAD + sent)
        answer = wire.answer()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert (answer.response["uid"], answer.response["allowed"]) == ("u-1", True)
    assert "patch" not in answer.response
    assert answer.response["auditAnnotations"]["outcome"].startswith("too-large: ")
    assert len(answer.response["warnings"]) == 1


def test_tiny_chunks_answered(server: Server) -> None:
    body = BODY + b" " * 10_000
    chunks = b"".join(chunk(body[at : at + 1]) for at in range(len(body)))
    with talking(server) as wire:
        wire.send(HEAD + CHUNKED + b"\r\n" + chunks + b"0\r\n\r\n")
        assert wire.answer().response["uid"] == "u-1"
        assert wire.is_open()


def test_chunk_extensions_and_trailers_accepted(server: Server) -> None:
    with talking(server) as wire:
        wire.send(HEAD + CHUNKED + b"\r\n%x;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY) + GET)
        assert wire.answer().response["uid"] == "u-1"
        assert wire.answer().status == 200


@pytest.mark.parametrize("request_", [post(BODY), HEAD + CHUNKED + b"\r\n" + chunk(BODY) + b"0\r\n\r\n"])
def test_request_byte_by_byte_answered(server: Server, request_: bytes) -> None:
    with talking(server) as wire:
        wire.send(*(request_[at : at + 1] for at in range(len(request_))))
        assert wire.answer().response["uid"] == "u-1"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (GET.replace(b"Host: x", b"Host: x\r\nX: \xff\x80"), 200),
        (GET.replace(b"Host: x", b"Host: x\r\nX: %b" % (b" " * 4000)), 200),
        (GET.replace(b"Host: x", b"Host: x\r\nExpect: 42"), 200),
        (GET.replace(b"Host: x", b"Host: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings"), 200),
        (post(BODY, b"Content_Type: text/plain\r\n"), 200),
        (post(GET * 3), 400),
        (HEAD + CHUNKED + b"\r\n" + chunk(GET * 3) + b"0\r\n\r\n", 400),
    ],
    ids=repr,
)
def test_unusual_request_answered_with_exact_rest(server: Server, request_: bytes, status: int) -> None:
    with talking(server) as wire:
        wire.send(request_ + GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert wire.statuses() == [status, 200]


@pytest.mark.parametrize(
    ("request_", "stays"),
    [
        (GET, True),
        (GET.replace(b"Host", b"Connection: keep-alive\r\nHost"), True),
        (GET.replace(b"Host", b"Connection: close\r\nHost"), False),
        (GET.replace(b"Host", b"Connection: TE, Close\r\nHost"), False),
        (GET.replace(b"1.1", b"1.0"), False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (post(BODY), True),
        (post(BODY, b"Connection: close\r\n"), False),
        (b"\r\n" + GET, True),  # RFC 9112 section 2.2
    ],
    ids=repr,
)
def test_connection_kept_unless_client_closes(server: Server, request_: bytes, stays: bool) -> None:
    with talking(server) as wire:
        wire.send(request_)
        answer = wire.answer()
        assert (answer.status, answer.headers["Connection"]) == (200, None if stays else "close")
        assert wire.is_open() if stays else wire.statuses() == []


def test_request_after_last_not_answered(server: Server) -> None:
    with talking(server) as wire:
        wire.send(post(BODY, b"Connection: close\r\n") + GET)
        assert wire.statuses() == [200]


def test_garbage_after_request_leaves_answer_complete(server: Server) -> None:
    with talking(server) as wire:
        wire.send(post(BODY) + b"nonsense\r\n\r\n")
        assert wire.answer().response["uid"] == "u-1"
        answer = wire.answer()
        assert (answer.status, answer.headers["Connection"]) == (400, "close")
        assert wire.statuses() == []


@pytest.mark.parametrize("path", ["/", "/mutate", "/nothing"])
def test_head_answer_has_no_body(server: Server, path: str) -> None:
    with talking(server) as wire:
        wire.send(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() + GET)
        assert wire.answer(bodiless=True).status == server.ask("HEAD", path).status
        assert wire.answer().status == 200


@pytest.mark.parametrize("path", ["/", "/mutate", "/nothing"])
def test_head_content_length_equals_get(server: Server, path: str) -> None:
    # RFC 9110 section 8.6: it may be left out, but must not be another.
    said = server.ask("HEAD", path).headers["Content-Length"]
    assert said in {None, server.ask("GET", path).headers["Content-Length"]}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, 200),
        (post(BODY), 200),
        (post(b"{}"), 400),
        (b"nonsense\r\n\r\n", 400),
        (GET.replace(b"/ ", b"/nothing "), 404),
        (GET.replace(b"/ ", b"/mutate "), 405),
        (HEAD + b"Content-Length: 99999999\r\n\r\n{", 413),
        (post(BODY).replace(b"/json", b"/yaml"), 415),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else str(value),
)
def test_answer_has_date_and_no_server_header(server: Server, request_: bytes, status: int) -> None:
    with talking(server) as wire:
        wire.send(request_)
        answer = wire.answer()
    assert answer.status == status
    (date,) = answer.headers.get_all("Date") or []
    assert date.endswith(" GMT")
    assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Server" not in answer.headers
    assert len(answer.headers.get_all("Content-Length") or []) == 1
    assert len(answer.headers.get_all("Content-Type") or []) == 1


@pytest.mark.parametrize(
    ("start", "status", "allow"),
    [
        (b"POST /%6d%75tate", 200, None),
        (b"POST /mutate?", 200, None),
        (b"POST /mutate?a=%2f&b=c?d", 200, None),
        (b"GET /%6dutate", 405, "POST"),
        (b"POST /mutate%3f", 404, None),
        (b"POST /mutate%00", 404, None),
        (b"POST /mut%C3%A4te", 404, None),
        (b"POST /mutate%", 404, None),
        (b"POST /", 405, "GET"),
    ],
)
def test_percent_encoded_path(server: Server, start: bytes, status: int, allow: str | None) -> None:
    with talking(server) as wire:
        wire.send(start + post(BODY)[len(b"POST /mutate") :])
        answer = wire.answer()
        assert answer.status == status
        assert allow is None or allow in answer.headers["Allow"].split(", ")
        assert wire.is_open()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 4000), 404),
        (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 4100), 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 8100), 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 8200), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X: y\r\n" * 99), 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X: y\r\n" * 100), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % ((b"X: %b\r\n" % (b"y" * 8000)) * 8), 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % ((b"X: %b\r\n" % (b"y" * 8000)) * 9), 431),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_head_limits(server: Server, head: bytes, status: int) -> None:
    for pieces in ((head,), (head[:3000], head[3000:6000], head[6000:])):
        with talking(server) as wire:
            wire.send(*pieces)
            assert wire.answer().status == status


def test_pipelined_requests_over_read_size_answered_in_order(server: Server) -> None:
    asked = [f"u-{number}" for number in range(500)]
    requests = b"".join(post(review.encode_review(POD, uid=uid)) for uid in asked)
    assert len(requests) > 3 * 64 * 1024
    with talking(server) as wire:
        wire.send(requests)
        assert [wire.answer().response["uid"] for _ in asked] == asked
        assert wire.is_open()


def test_requests_after_pending_one_answered_in_order(server: Server) -> None:
    asked = [f"u-{number}" for number in range(500)]
    requests = b"".join(post(review.encode_review(POD, uid=uid)) for uid in asked)
    large = review.encode_review({**POD, "metadata": {"annotations": {"a": "a" * 600_000}}}, uid="first")
    with talking(server) as wire:
        wire.send(post(large) + requests)
        assert [wire.answer().response["uid"] for _ in ["first", *asked]] == ["first", *asked]


def test_pipelined_long_answers_complete_and_in_order(server: Server) -> None:
    # Answers larger than all buffers on the way, so that the server must wait for the client.
    containers = [{"name": "a", "image": "a"}] * 3000
    asked = [f"u-{number}" for number in range(15)]
    bodies = [review.encode_review({"metadata": {}, "spec": {"containers": containers}}, uid=uid) for uid in asked]
    with talking(server, window=4096) as wire:
        sending = threading.Thread(target=wire.send, args=(b"".join(map(post, bodies)) + GET,))
        sending.start()
        time.sleep(0.5)  # the longer, the more must be held back
        answers = [wire.answer() for _ in asked]
        assert [answer.response["uid"] for answer in answers] == asked
        assert sum(len(answer.body) for answer in answers) > 4_000_000
        assert wire.answer().status == 200
        sending.join()


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"], ids=["stays", "last"])
def test_long_answer_read_slowly_is_complete(server: Server, last: bytes) -> None:
    with talking(server, window=4096) as wire:
        wire.send(post(LONG_ANSWER, last))
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += wire.connection.recv(1024)
        head, _, content = bytes(received).partition(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        pieces = [content]
        missing = size - len(content)
        assert missing > 3_000_000
        while missing:
            pieces.append(wire.connection.recv(16_384))
            assert pieces[-1], f"{missing} bytes are missing"
            missing -= len(pieces[-1])
            time.sleep(0.001)
        assert json.loads(b"".join(pieces))["response"]["allowed"] is True
        assert wire.is_open() is (not last)


@pytest.mark.parametrize("abruptly", [True, False])
@pytest.mark.parametrize(
    "sent",
    [
        post(BODY) * 200,
        post(BODY) + HEAD,
        HEAD,
        b"nonsense\r\n\r\n",
        b"",
    ],
    ids=lambda value: f"{len(value)} bytes",
)
def test_client_gone_before_answer_logs_nothing(server: Server, sent: bytes, abruptly: bool) -> None:
    before = len(server.log)
    with talking(server) as wire:
        wire.send(sent)
        if abruptly:
            wire.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.1)
    assert server.review(BODY).status == 200
    expected = (" INFO webhook.admission ", " WARNING webhook.server request refused ")
    lines = server.log[before:].splitlines()
    assert [line for line in lines if not any(part in line for part in expected)] == []
