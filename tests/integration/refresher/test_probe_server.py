"""The refresher's port answers probes, whatever other clients do."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http import HTTPStatus

import pytest

from webhook.refresher.runtime.probe_server import ProbeServer, Reply, accepts

PATIENCE = 20.0


@pytest.fixture
def server() -> Iterator[ProbeServer]:
    replies = {
        "/healthz": Reply(HTTPStatus.OK, b"ok\n"),
        "/readyz": Reply(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n"),
        "/metrics": Reply(HTTPStatus.OK, b"a 1\n", "text/plain; version=0.0.4; charset=utf-8"),
    }
    paths = {path: lambda _accept, reply=reply: reply for path, reply in replies.items()}
    made = ProbeServer(socket.create_server(("127.0.0.1", 0), backlog=128), paths)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(PATIENCE)


def address(server: ProbeServer) -> tuple[str, int]:
    host, port = server.socket.getsockname()
    return host, port


def ask(server: ProbeServer, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(*address(server), timeout=PATIENCE)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/healthz", 200, b"ok\n"),
        ("/healthz?verbose", 200, b"ok\n"),
        ("/readyz", 503, b"not ready\n"),
        ("/metrics", 200, b"a 1\n"),
        ("/", 404, b"not found; the paths are /healthz, /readyz and /metrics\n"),
        ("/healthz/", 404, b"not found; the paths are /healthz, /readyz and /metrics\n"),
        ("/../etc/passwd", 404, b"not found; the paths are /healthz, /readyz and /metrics\n"),
    ],
)
def test_path_answered_get_and_head(server: ProbeServer, path: str, status: int, body: bytes) -> None:
    found, headers, text = ask(server, "GET", path)
    assert (found, text) == (status, body)
    assert headers["content-length"] == str(len(body))
    found, headers, text = ask(server, "HEAD", path)
    assert (found, text) == (status, b"")
    assert headers["content-length"] == str(len(body))


def test_metrics_content_type_without_python_version(server: ProbeServer) -> None:
    _, headers, _ = ask(server, "GET", "/metrics")
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "python" not in headers["server"].lower()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "BREW"])
def test_method_other_refused(server: ProbeServer, method: str) -> None:
    assert ask(server, method, "/healthz")[0] == 501


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET /" + b"a" * 70_000, b"\r\n" * 100])
def test_malformed_request_server_survives(server: ProbeServer, sent: bytes) -> None:
    with socket.create_connection(address(server), PATIENCE) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
    assert ask(server, "GET", "/healthz")[0] == 200


def test_connection_limit_reached_newest_answered(server: ProbeServer) -> None:
    began = time.monotonic()
    held = [socket.create_connection(address(server), PATIENCE) for _ in range(100)]
    try:
        assert ask(server, "GET", "/healthz")[0] == 200
        assert held[0].recv(1) == b""  # the oldest one went,
        assert time.monotonic() - began < 4  # before any of them had waited for its time
    finally:
        for client in held:
            client.close()


def test_connection_limit_per_client_others_kept(server: ProbeServer) -> None:
    with ExitStack() as stack:
        probe = stack.enter_context(socket.create_connection(address(server), PATIENCE, ("127.0.0.2", 0)))
        time.sleep(0.1)
        for _ in range(200):
            stack.enter_context(socket.create_connection(address(server), PATIENCE))
            assert threading.active_count() < 80
        probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert probe.recv(1000).startswith(b"HTTP/1.0 200 ")


def test_client_silent_or_slow_disconnected(server: ProbeServer) -> None:
    silent, slow = (socket.create_connection(address(server), PATIENCE) for _ in range(2))
    try:
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < PATIENCE:
            try:
                slow.sendall(b"G")  # never silent for long
                slow.settimeout(0.2)
                ended = slow.recv(1) == b""
            except TimeoutError:
                pass
            except OSError:
                ended = True
        assert ended
        assert time.monotonic() - began > 4
        assert silent.recv(1) == b""
        assert ask(server, "GET", "/healthz")[0] == 200
    finally:
        silent.close()
        slow.close()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json", True),
        ("text/html, Application/JSON;q=0.9", True),
        ("*/*", False),
        ("application/*", False),
        ("", False),
        ("application/jsonl", False),
    ],
)
def test_accepts_only_type_named_explicitly(header: str, expected: bool) -> None:
    assert accepts(header, "application/json") is expected
