"""Fake servers that respond as a test wants, correctly or not, and record requests."""

import select
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from webhook.pki import ca

#: Seconds after which a server stops waiting; tests take much less.
PATIENCE = 20.0
NAMES = ("localhost", "127.0.0.1", "0.0.0.0", "registry.test", "auth.test")  # noqa: S104 - a name in a certificate
REASONS = {200: "OK", 401: "Unauthorized"}


class Trust(NamedTuple):
    """A CA certificate as a file, and a server's TLS context with a certificate signed by it."""

    ca_file: Path
    server: ssl.SSLContext


def make_trust(folder: Path) -> Trust:
    """Create a CA and a server certificate for localhost."""
    now, hour = datetime.now(UTC), timedelta(hours=1)
    ours = ca.create_ca("test", now, hour)
    pair = ca.sign(ours, NAMES, now, hour)
    (folder / "ca.pem").write_bytes(ours.certificate)
    (folder / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    return Trust(folder / "ca.pem", context)


class Request(NamedTuple):
    """A received request."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    stopped: threading.Event
    """Set when the server stops, for responses that wait."""

    @property
    def authorization(self) -> str | None:
        """The client's certificate."""
        return self.headers.get("authorization")

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


#: Writes a response, in one piece or several.
Behaviour = Callable[[Request], bytes | Iterable[bytes]]


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """Format a response."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'So')}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class _Listener(ABC):
    """Accepts connections inside the block, with a thread for each."""

    def __init__(self, context: ssl.SSLContext | None, host: str = "127.0.0.1") -> None:
        self._context = context
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self.stopped = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        self._listener.close()
        for connection in tuple(self._open):
            _end(connection)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._run, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._open.add(connection)
            with connection.makefile("rb") as file:
                request = self._read(file)
            if request is None:
                connection.sendall(answer(400))
            else:
                self.talk(connection, request)
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(connection)
            _end(connection)
            connection.close()

    def _read(self, file: BinaryIO) -> Request | None:
        first = file.readline().decode("latin-1")
        if not first.endswith("\r\n"):
            return None  # the client does not speak TLS
        method, target, _ = first.split(" ")
        headers: dict[str, str] = {}
        while (line := file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            # A header that occurs several times is a list: RFC 9110 section 5.3.
            headers[name.lower()] = ", ".join([*filter(None, [headers.get(name.lower())]), value.strip()])
        return Request(method, target, headers, file.read(int(headers.get("content-length", "0"))), self.stopped)

    @abstractmethod
    def talk(self, connection: socket.socket, request: Request) -> None:
        """Respond to a request."""


class Server(_Listener):
    """An HTTP server with a given behavior."""

    def __init__(self, behave: Behaviour, context: ssl.SSLContext | None, host: str = "127.0.0.1") -> None:
        super().__init__(context, host)
        self._behave = behave
        self.requests: list[Request] = []
        self.scheme = "http" if context is None else "https"
        self.domain = f"{host}:{self.port}"
        self.url = f"{self.scheme}://{self.domain}"

    def talk(self, connection: socket.socket, request: Request) -> None:
        self.requests.append(request)
        said = self._behave(request)
        for part in (said,) if isinstance(said, bytes) else said:
            connection.sendall(part)


class Proxy(_Listener):
    """A proxy that opens all tunnels to localhost, whatever the host name."""

    def __init__(self, context: ssl.SSLContext | None = None, refusal: bytes = b"") -> None:
        super().__init__(context)
        self._refusal = refusal
        self.requests: list[Request] = []

    def talk(self, connection: socket.socket, request: Request) -> None:
        self.requests.append(request)
        if self._refusal:
            connection.sendall(self._refusal)
            return
        port = int(request.target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as beyond:
            connection.sendall(b"HTTP/1.1 200 Go on\r\n\r\n")
            _pump(connection, beyond)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Copy data in both directions in one thread, because a TLS connection does not support two."""
    across = {one: other, other: one}
    while True:
        waiting = [side for side in across if isinstance(side, ssl.SSLSocket) and side.pending()]
        for side in waiting or select.select(list(across), [], [], PATIENCE)[0]:
            part = side.recv(65536)
            if not part:
                return
            across[side].sendall(part)


def _end(connection: socket.socket) -> None:
    # Not SSLSocket.shutdown, which would remove TLS while another thread reads.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
