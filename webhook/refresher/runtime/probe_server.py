"""The refresher's own port: `/healthz`, `/readyz` and `/metrics`, in plain HTTP.

The standard library's server is enough: its clients are a kubelet and a Prometheus, a few times a minute. Connections
are limited in time and number.
"""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition
from typing import Any, NamedTuple

_CONNECTIONS = 32
#: Seconds for which a connection may be open.
_TIMEOUT = 5.0


class Reply(NamedTuple):
    """A response."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def accepts(header: str, content_type: str) -> bool:
    """Whether an `Accept` header names a type explicitly: a wildcard means the default."""
    return content_type in {part.partition(";")[0].strip().lower() for part in header.split(",")}


def _shut_down(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client has closed it
        sock.shutdown(socket.SHUT_RDWR)


class ProbeServer(ThreadingHTTPServer):
    """Serves a table of paths on a listening socket; each handler is called with the `Accept` header."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, listening: socket.socket, paths: Mapping[str, Callable[[str], Reply]]) -> None:
        self.paths = paths
        self._changed = Condition()
        self._running = 0
        self._open: dict[socket.socket, tuple[str, float]] = {}
        self.address_family = listening.family
        super().__init__(listening.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening

    @property
    def address(self) -> str:
        """The URL that it listens on, with the actual port."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; at the limit, close the oldest one of the client that has the most."""
        client = client_address[0]
        with self._changed:
            if len(self._open) >= _CONNECTIONS:
                self._evict(client)
            self._open[request] = client, time.monotonic()
            self._running += 1
            # The thread of a closed connection runs until it notices: connections can come faster than that.
            self._changed.wait_for(lambda: self._running <= 2 * _CONNECTIONS, _TIMEOUT)
        super().process_request(request, client_address)

    def _evict(self, newcomer: str) -> None:
        counts = Counter(client for client, _ in self._open.values())
        counts[newcomer] += 1
        [(most, _)] = counts.most_common(1)
        oldest = next(sock for sock, (client, _) in self._open.items() if client == most)
        del self._open[oldest]
        _shut_down(oldest)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.pop(request, None)
                self._running -= 1
                self._changed.notify()

    def service_actions(self) -> None:
        """Close connections that take too long; called twice a second."""
        now = time.monotonic()
        with self._changed:
            late = [sock for sock, (_, since) in self._open.items() if now - since > _TIMEOUT]
        for sock in late:
            _shut_down(sock)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing about a client that disconnected."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    server: ProbeServer
    timeout = _TIMEOUT
    server_version = "registry-webhook"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        answer = self.server.paths.get(self.path.partition("?")[0])
        if answer is None:
            reply = Reply(HTTPStatus.NOT_FOUND, b"not found; the paths are /healthz, /readyz and /metrics\n")
        else:
            reply = answer(self.headers.get("Accept", ""))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if body:
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Log no request."""
