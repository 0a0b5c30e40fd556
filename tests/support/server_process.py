"""The real server, run as a cluster would run it, and a client that sends it whatever a test says."""

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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

from webhook.admission import review
from webhook.config import schema
from webhook.pki import ca

PATIENCE = 20.0
#: A review with an answer of some 7 MB, more than all buffers on the way hold: every image is rewritten.
LONG_ANSWER = review.encode_review({"spec": {"containers": [{"image": "n" * 20}] * 25_000}})
CONFIGURATION = """\
opencti:
  daemon:
    registry:
      server: registry.example.com
"""
#: As text, or as JSON.
_ADDRESSES = re.compile(r'addresses"?[=:]"([^"]+)"')
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """An HTTP answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def response(self) -> dict[str, Any]:
        """The response of the AdmissionReview in the body."""
        review: dict[str, Any] = json.loads(self.body)
        response: dict[str, Any] = review["response"]
        return response


class Client:
    """One connection to a server."""

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
        """Send one request and read the answer."""
        self._connection.request(method, path, body, headers or {})
        return self.answer()

    def answer(self) -> Answer:
        """Read an answer to what was sent."""
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def review(self, body: bytes, path: str = "/mutate?timeout=10s") -> Answer:
        """Send a review."""
        return self.ask("POST", path, body, JSON)


class Place(NamedTuple):
    """A folder with all that a server reads."""

    folder: Path
    ours: ca.KeyPair

    def write_pair(self, *names: str) -> None:
        """Write a new certificate for `names`, or for this machine, and its key."""
        pair = ca.sign(self.ours, names or ("localhost", "127.0.0.1"), datetime.now(UTC), timedelta(hours=1))
        replace(self.folder / "tls.crt", pair.certificate)
        replace(self.folder / "tls.key", pair.key)

    def configure(self, text: str) -> None:
        """Write the configuration."""
        replace(self.folder / "config.yaml", text.encode())

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client must trust."""
        return ssl.create_default_context(cadata=self.ours.certificate.decode())


class Server:
    """A server that runs."""

    def __init__(self, place: Place, process: "subprocess.Popen[bytes]", secure: int, plain: int | None) -> None:
        self.place = place
        self.process = process
        self.secure = ("127.0.0.1", secure)
        self.plain_address = None if plain is None else ("127.0.0.1", plain)
        self.trust = place.trust

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.place.folder / "log").read_text()

    def client(self) -> Client:
        """Connect over TLS."""
        return Client(self.secure, self.trust)

    def probe(self, path: str) -> Answer:
        """Ask the plain port."""
        assert self.plain_address is not None
        with Client(self.plain_address, None) as client:
            return client.ask("GET", path)

    def metric(self, series: str) -> float:
        """What a series is now, named with its labels as it is written."""
        lines = self.probe("/metrics").body.decode().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{series} "))
        return float(line.rpartition(" ")[2])

    def plain(self) -> socket.socket:
        """Connect to the plain port, and send nothing."""
        assert self.plain_address is not None
        return socket.create_connection(self.plain_address, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send one request over a connection of its own."""
        with self.client() as client:
            return client.ask(method, path, body, headers)

    def review(self, body: bytes) -> Answer:
        """Send one review over a connection of its own."""
        return self.ask("POST", "/mutate?timeout=10s", body, JSON)

    def tcp(self) -> socket.socket:
        """Connect without TLS."""
        return socket.create_connection(self.secure, timeout=PATIENCE)

    def tls(self) -> ssl.SSLSocket:
        """Connect with TLS, and send nothing."""
        return self.trust.wrap_socket(self.tcp(), server_hostname="localhost")

    def stop(self) -> int:
        """Stop it as kubelet does, and give its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """The process ids of what it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


def replace(path: Path, content: bytes) -> None:
    """Put new content in a file's place at once, as kubelet does."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def make_place(folder: Path) -> Place:
    """Make a folder with a configuration and an authority, and no certificate yet."""
    place = Place(folder, ca.create_ca("test", datetime.now(UTC), timedelta(hours=1)))
    place.configure(CONFIGURATION)
    return place


class Around(NamedTuple):
    """What a server is started with, beside its command line."""

    files: int | None = None
    """How many it may have open."""
    within: tuple[str, ...] = ()
    """What stands before its command line: a command that runs it."""
    log: int | None = None
    """The descriptor that it writes its log to, instead of to the file `log`."""
    inherited: tuple[int, ...] = ()
    """Descriptors that it keeps."""


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
    """Run the Flask application under another server: gunicorn's threads, with a certificate of their own."""
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
    with (place.folder / "log").open("ab") as file:  # it may be emptied meanwhile
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
    """Wait until something holds; a failed connection meanwhile is none."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if holds():
                return
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
