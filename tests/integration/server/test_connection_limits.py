"""Clients that stall, flood or never read are closed at their time limit, and others are answered."""

import json
import select
import socket
import ssl
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.server_process import LONG_ANSWER, PATIENCE, Around, Place, Server, serving, wait_until
from webhook.admission import review
from webhook.server import http1

HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CLOSED = 'registry_webhook_connections_closed_total{{port="https",reason="{}"}}'
POD = {"spec": {"containers": [{"name": "a", "image": "nginx"}]}}


def closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection; pending data is read."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True


def received(connection: socket.socket) -> bytes:
    """Return what has been received, if anything."""
    connection.settimeout(0.01)
    with suppress(TimeoutError):
        return connection.recv(1000)
    return b""


def memory(process: int) -> int:
    """Return the peak resident memory of a process in KiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_slow_clients_closed_and_others_answered(server: Server) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(server.tcp()) for _ in range(10)]
        handshaken = [stack.enter_context(server.tls()) for _ in range(10)]
        half_header = [stack.enter_context(server.tls()) for _ in range(10)]
        dripping = [stack.enter_context(server.tls()) for _ in range(10)]
        second = [stack.enter_context(server.tls()) for _ in range(2)]
        pipelined = [stack.enter_context(server.tls()) for _ in range(2)]
        for connection in half_header:
            connection.sendall(HEAD)
        for connection in dripping:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        for connection in second:
            # A whole request, and then the beginning of another.
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
            connection.sendall(HEAD)
        for connection in pipelined:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD)
        waiting: list[socket.socket] = [*silent, *handshaken, *half_header, *dripping, *second, *pipelined]
        deadline = time.monotonic() + PATIENCE
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} are still open"
            assert server.review(review.encode_review(POD)).status == 200
            assert server.probe("/healthz").status == 200
            for connection in dripping:
                if connection in waiting:
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        waiting.remove(connection)
            waiting = [connection for connection in waiting if not closed(connection)]


def test_client_that_never_reads_closed(server: Server) -> None:
    # One answer that is larger than all buffers on the way, so that the server cannot be done with writing it.
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(server.secure)
    hung_up = select.poll()
    with server.trust.wrap_socket(raw, server_hostname="localhost") as connection:
        hung_up.register(connection, select.POLLRDHUP)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(LONG_ANSWER) + LONG_ANSWER)
        wait_until(lambda: bool(hung_up.poll(0)))
    assert server.review(review.encode_review(POD)).status == 200


def test_idle_connection_outlives_request_timeout(server: Server) -> None:
    with server.client() as client:
        assert client.review(review.encode_review(POD)).status == 200
        time.sleep(http1.REQUEST_TIMEOUT + 1)
        assert client.review(review.encode_review(POD)).status == 200


def test_connection_limit_is_separate_for_probes(place: Place) -> None:
    files = 100
    with serving(place, around=Around(files=files)) as server, ExitStack() as stack:
        held = [stack.enter_context(server.tcp()) for _ in range(files)]
        wait_until(lambda: sum(not closed(connection) for connection in held) <= files - 64)
        assert server.probe("/healthz").status == 200
        stack.close()
        wait_until(lambda: server.review(review.encode_review(POD)).status == 200)
        assert server.process.poll() is None


def test_limit_reached_evicts_slow_clients(place: Place) -> None:
    with serving(place, around=Around(files=100)) as server, ExitStack() as stack, server.client() as pooled:
        assert pooled.review(review.encode_review(POD)).status == 200
        silent = [stack.enter_context(server.tcp()) for _ in range(40)]
        time.sleep(0.2)  # a newcomer is refused for a moment after another was
        half = [stack.enter_context(server.tls()) for _ in range(15)]
        for connection in half:
            connection.sendall(HEAD)
        time.sleep(0.2)
        for _ in range(20):
            assert server.review(review.encode_review(POD)).status == 200
        assert server.probe("/healthz").status == 200
        # The slowest are evicted first, and an idle connection after all that are slow.
        assert pooled.review(review.encode_review(POD)).status == 200
        assert not any(map(closed, half))
        # So many silent ones had connected at once that some were refused.
        evicted, full = (server.metric(CLOSED.format(reason)) for reason in ("evicted", "full"))
        assert sum(map(closed, silent)) == evicted + full
        assert evicted > 10


def test_limit_reached_by_idle_evicts_longest_idle(place: Place) -> None:
    with serving(place, around=Around(files=100)) as server, ExitStack() as stack:
        resting = [stack.enter_context(server.tls()) for _ in range(26)]
        for connection in resting:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(1000)
        time.sleep(1.1)
        with server.client() as used:
            assert used.review(review.encode_review(POD)).status == 200
            for _ in range(5):
                assert server.review(review.encode_review(POD)).status == 200
            assert used.review(review.encode_review(POD)).status == 200
        assert not any(map(closed, resting[6:]))


@pytest.mark.parametrize(("port", "places"), [("secure", 27), ("plain", 9)])
def test_limit_reached_by_many_clients_admits_new_one(place: Place, port: str, places: int) -> None:
    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(place, around=Around(files=100)) as server, ExitStack() as stack:
        address = server.secure if port == "secure" else server.plain_address
        assert address is not None

        def connect(client: int) -> socket.socket:
            raw = socket.create_connection(address, timeout=PATIENCE, source_address=(f"127.0.0.{client}", 0))
            one = server.trust.wrap_socket(raw, server_hostname="localhost") if port == "secure" else raw
            one.sendall(get)
            assert one.recv(1000).startswith(b"HTTP/1.1 ")
            return stack.enter_context(one)

        for number in range(places):
            connect(2 + number % 4)
        for _ in range(places // 9):
            connect(9)


def test_probes_answered_while_port_is_full(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(server.plain())
        # The last of them may have been turned away, and for a moment after that newcomers are too.
        wait_until(lambda: server.probe("/healthz").status == 200)
        for _ in range(20):
            assert server.probe("/healthz").status == 200


def test_memory_limit_refuses_large_bodies_and_takes_usual_one(server: Server) -> None:
    (worker,) = server.workers()
    head = HEAD + b"Content-Length: 4000000\r\n\r\n"
    large, usual = b"x" * 3_000_000, review.encode_review(POD)
    with ExitStack() as stack, server.tls() as patient:
        patient.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(usual) + usual[:-1])
        senders = [stack.enter_context(server.tls()) for _ in range(25)]
        for connection in senders:
            connection.sendall(head + large)
        assert server.metric('registry_webhook_buffered_bytes{port="https"}') < 60_000_000
        answers: dict[socket.socket, bytes] = {}

        def all_have_said_it() -> bool:
            unread = [connection for connection in senders if connection not in answers]
            answers.update((connection, answer) for connection in unread if (answer := received(connection)))
            return 5 <= server.metric(CLOSED.format("memory")) == len(answers)

        wait_until(all_have_said_it)
        for answer in answers.values():
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After" not in answer
        patient.sendall(usual[-1:])
        assert patient.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert memory(worker) < 256 * 1024
    wait_until(lambda: server.metric('registry_webhook_buffered_bytes{port="https"}') == 0)


def test_body_far_over_limit_refused_with_bounded_memory(server: Server) -> None:
    (worker,) = server.workers()
    megabyte = b"x" * 1_000_000
    before = memory(worker)
    with server.client() as client:
        answer = client.ask("POST", "/mutate", iter([megabyte] * 100), {"Content-Type": "application/json"})
        assert answer.status == 413
    assert memory(worker) - before < 40_000  # of the 100,000 KB that came
    assert server.review(review.encode_review(POD)).status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_plain_or_old_tls_closed(server: Server) -> None:
    with server.tcp() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: closed(raw))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(cadata=server.place.ours.certificate.decode())
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with server.tcp() as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(raw, server_hostname="localhost")
    assert server.ask("GET", "/").status == 200


def test_pipelined_requests_answered_in_order(server: Server) -> None:
    bodies = [review.encode_review(POD, uid=f"u-{number}") for number in range(5)]
    with server.tls() as raw:
        raw.sendall(b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies))
        received = b""
        while received.count(b'"uid"') < len(bodies):
            chunk = raw.recv(65536)
            assert chunk, received
            received += chunk
    positions = [received.index(f'"u-{number}"'.encode()) for number in range(5)]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /mutate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
    ids=lambda value: repr(value[:50]),
)
def test_malformed_http_refused(server: Server, head: bytes, status: bytes) -> None:
    with server.tls() as raw:
        raw.sendall(head)
        assert raw.recv(100).split(b" ")[1] == status


def test_log_forged_fields_escaped(server: Server) -> None:
    name = 'x\n2026-01-01T00:00:00.000Z ERROR forged uid="1"\x1b[2J\u202e'
    pod = {"metadata": {"name": name}, "spec": {"containers": [{"name": name, "image": "forged"}]}}
    assert server.review(review.encode_review(pod, namespace=name, uid=name)).status == 200
    wait_until(lambda: "forged" in server.log)
    for line in server.log.splitlines():
        assert line.isascii()
        assert line.isprintable()
        assert line[:4].isdigit()
        assert line.split(" ")[2].startswith(("webhook.", "gunicorn."))
    assert json.loads(server.review(review.encode_review(pod, uid=name)).body)["response"]["uid"] == name
