"""The sidecar's own port: `/healthz`, `/readyz` and `/metrics`, in the clear, for whoever looks after it.

It is the standard library's server: what asks here is a kubelet and a Prometheus, some times a minute. A connection has
a time limit, and there is a bound on how many are served at once.
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
_TIMEOUT = 5.0


class Reply(NamedTuple):
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def accepts(header: str, content_type: str) -> bool:
    """Tell whether an `Accept` header names a type itself: a wildcard stands for the default."""
    return content_type in {part.partition(";")[0].strip().lower() for part in header.split(",")}


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended by itself
        sock.shutdown(socket.SHUT_RDWR)


class ProbeServer(ThreadingHTTPServer):
    """Serves a table of paths."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, listening: socket.socket, paths: Mapping[str, Callable[[str], Reply]]) -> None:
        """Take a listening socket, and who answers for each path, by what the client accepts."""
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
        """Where it listens, the port being the one that was taken where any free one was asked for."""
        host, port = self.socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread; where there are too many, the oldest of the client with the most goes."""
        client = client_address[0]
        with self._changed:
            if len(self._open) >= _CONNECTIONS:
                self._end_one(client)
            self._open[request] = client, time.monotonic()
            self._running += 1
            # Those that were ended are threads until they have noticed: connections can come faster than that.
            self._changed.wait_for(lambda: self._running <= 2 * _CONNECTIONS, _TIMEOUT)
        super().process_request(request, client_address)

    def _end_one(self, newcomer: str) -> None:
        counts = Counter(client for client, _ in self._open.values())
        counts[newcomer] += 1
        [(most, _)] = counts.most_common(1)
        oldest = next(sock for sock, (client, _) in self._open.items() if client == most)
        del self._open[oldest]
        _end(oldest)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.pop(request, None)
                self._running -= 1
                self._changed.notify()

    def service_actions(self) -> None:
        """End what takes too long; this is called twice a second."""
        now = time.monotonic()
        with self._changed:
            late = [sock for sock, (_, since) in self._open.items() if now - since > _TIMEOUT]
        for sock in late:
            _end(sock)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""
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
            reply = Reply(HTTPStatus.NOT_FOUND, b"there is /healthz, /readyz and /metrics\n")
        else:
            reply = answer(self.headers.get("Accept", ""))
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if body:
            self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in the standard library
        """Log no request."""
