"""The server as a process, run as in a cluster, and a client that can send anything."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support import polling
from webhook.admission import review
from webhook.config import schema
from webhook.pki import ca

PATIENCE = 20.0
#: A review with an answer of about 7 MB, more than all buffers hold: every image is rewritten.
LONG_ANSWER = review.encode_review({"spec": {"containers": [{"image": "n" * 20}] * 25_000}})
CONFIGURATION = """\
opencti:
  daemon:
    registry:
      server: registry.example.com
"""
#: As text or JSON.
_ADDRESSES = re.compile(r'addresses"?[=:]"([^"]+)"')
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """A complete HTTP response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def response(self) -> dict[str, Any]:
        review: dict[str, Any] = json.loads(self.body)
        response: dict[str, Any] = review["response"]
        return response


class Client:
    """A connection to a server."""

    def __init__(self, address: tuple[str, int], trust: ssl.SSLContext | None) -> None:
        self._connection = (
            http.client.HTTPConnection(*address, timeout=PATIENCE)
            if trust is None
            else http.client.HTTPSConnection(*address, timeout=PATIENCE, context=trust)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        self._connection.request(method, path, body, headers or {})
        return self.answer()

    def answer(self) -> Answer:
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def review(self, body: bytes, path: str = "/mutate?timeout=10s") -> Answer:
        return self.ask("POST", path, body, JSON)


class Place(NamedTuple):
    """A folder with all files of a server."""

    folder: Path
    ours: ca.KeyPair

    def write_pair(self, *names: str) -> None:
        """Write a new certificate and key for `names`, by default for localhost."""
        pair = ca.sign(self.ours, names or ("localhost", "127.0.0.1"), datetime.now(UTC), timedelta(hours=1))
        replace(self.folder / "tls.crt", pair.certificate)
        replace(self.folder / "tls.key", pair.key)

    def configure(self, text: str) -> None:
        replace(self.folder / "config.yaml", text.encode())

    @property
    def trust(self) -> ssl.SSLContext:
        """The CA for clients."""
        return ssl.create_default_context(cadata=self.ours.certificate.decode())


class Server:
    """A running server."""

    def __init__(self, place: Place, process: "subprocess.Popen[bytes]", secure: int, plain: int | None) -> None:
        self.place = place
        self.process = process
        self.secure = ("127.0.0.1", secure)
        self.plain_address = None if plain is None else ("127.0.0.1", plain)
        self.trust = place.trust

    @property
    def log(self) -> str:
        """Its log."""
        return (self.place.folder / "log").read_text()

    def client(self) -> Client:
        return Client(self.secure, self.trust)

    def probe(self, path: str) -> Answer:
        """Send a request to the plain port."""
        assert self.plain_address is not None
        with Client(self.plain_address, None) as client:
            return client.ask("GET", path)

    def metric(self, series: str) -> float:
        """Return the value of a series, named with its labels."""
        lines = self.probe("/metrics").body.decode().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{series} "))
        return float(line.rpartition(" ")[2])

    def plain(self) -> socket.socket:
        """Connect to the plain port without sending anything."""
        assert self.plain_address is not None
        return socket.create_connection(self.plain_address, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request over a new connection."""
        with self.client() as client:
            return client.ask(method, path, body, headers)

    def review(self, body: bytes) -> Answer:
        """Send one review over a new connection."""
        return self.ask("POST", "/mutate?timeout=10s", body, JSON)

    def tcp(self) -> socket.socket:
        return socket.create_connection(self.secure, timeout=PATIENCE)

    def tls(self) -> ssl.SSLSocket:
        """Connect with TLS without sending anything."""
        return self.trust.wrap_socket(self.tcp(), server_hostname="localhost")

    def stop(self) -> int:
        """Stop it as the kubelet does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """The process IDs of its children."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def replace(path: Path, content: bytes) -> None:
    """Replace a file's content atomically, as the kubelet does."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def make_place(folder: Path) -> Place:
    """Create a folder with a configuration and a CA, without a certificate."""
    place = Place(folder, ca.create_ca("test", datetime.now(UTC), timedelta(hours=1)))
    place.configure(CONFIGURATION)
    return place


class Around(NamedTuple):
    """How a server is started, apart from its command line."""

    files: int | None = None
    """Limit of open files."""
    within: tuple[str, ...] = ()
    """A command that runs its command line."""
    log: int | None = None
    """Descriptor for its log, instead of the file `log`."""
    inherited: tuple[int, ...] = ()
    """Descriptors that it inherits."""


@contextmanager
def serving(
    place: Place, *options: str, drain: float = 0.2, around: Around | None = None, **environment: str
) -> Iterator[Server]:
    """Run `registry-webhook serve` in a folder until the block ends.

    `options` are added to the command line.
    """
    words = ["serve", "--bind=127.0.0.1:0", "--health-bind=127.0.0.1:0", "--cert=tls.crt", "--key=tls.key"]
    command = [sys.executable, "-m", "webhook", *words, "--config=config.yaml", f"--drain={drain}", *options]
    with _running(command, place, environment, around or Around()) as process:
        log = place.folder / "log"
        wait_until(lambda: _ADDRESSES.search(log.read_text()) is not None or process.poll() is not None)
        found = _ADDRESSES.search(log.read_text())
        assert found, log.read_text()
        addresses = found[1].split(", ")
        assert len(addresses) == 2, log.read_text()
        secure, plain = (int(address.rpartition(":")[2]) for address in addresses)
        yield Server(place, process, secure, plain)


@contextmanager
def serving_wsgi(place: Place) -> Iterator[Server]:
    """Run the Flask application in gunicorn's threads, with a certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        words = [
            f"--bind=fd://{listener.fileno()}",
            "--worker-class=gthread",
            "--threads=4",
            "--no-control-socket",
            "--graceful-timeout=2",
        ]
        command = [sys.executable, "-m", "gunicorn", *words, "--certfile=tls.crt", "--keyfile=tls.key"]
        application = "webhook.server.flask_app:create_app()"
        environment = {"REGISTRY_WEBHOOK_CONFIG": "config.yaml"}
        around = Around(inherited=(listener.fileno(),))
        with _running([*command, application], place, environment, around) as process:
            server = Server(place, process, port, None)
            wait_until(lambda: server.ask("GET", "/").status == http.HTTPStatus.OK)
            yield server


@contextmanager
def _running(
    command: list[str], place: Place, environment: dict[str, str], around: Around
) -> Iterator["subprocess.Popen[bytes]"]:
    clean = {name: value for name, value in os.environ.items() if not schema.may_be_ours(name)}

    def bound() -> None:
        if around.files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (around.files, around.files))

    (place.folder / "log").write_bytes(b"")
    with (place.folder / "log").open("ab") as file:  # it may have been emptied in the meantime
        log = file.fileno() if around.log is None else around.log
        process = subprocess.Popen(
            [*around.within, *command],
            cwd=place.folder,
            env=clean | environment,
            stderr=log,
            stdout=log,
            pass_fds=around.inherited,
            preexec_fn=bound,  # noqa: PLW1509 - no other thread runs here
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; failed connections count as not met."""
    polling.wait_until(holds, PATIENCE)
