"""The load generator itself, with servers that misbehave: every failure is detected and classified."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.support.server_process import CONFIGURATION, Place, wait_until
from webhook.admission.mutator import Mutator
from webhook.config.load import load

from .traffic import PATIENCE, Outcome, traffic

_HANDLER = Mutator(load(CONFIGURATION.encode(), "traffic", {}).configuration)
_ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b"

Behaviour = Callable[[ssl.SSLSocket, bytes], bool]
"""Does something with a connection over which a request has come; tells whether it is to go on."""


def right(connection: ssl.SSLSocket, body: bytes) -> bool:
    answer = _HANDLER.review(body).answer
    connection.sendall(_ANSWER % (200, len(answer), b"", answer))
    return True


def right_and_last(connection: ssl.SSLSocket, body: bytes) -> bool:
    answer = _HANDLER.review(body).answer
    connection.sendall(_ANSWER % (200, len(answer), b"Connection: close\r\n", answer))
    return True  # whoever sends another request over it is answered, and found out


def right_and_closed(connection: ssl.SSLSocket, body: bytes) -> bool:
    right(connection, body)
    return False


def another_ones(connection: ssl.SSLSocket, body: bytes) -> bool:
    return right(connection, body.replace(b"00000000-0000-0000-", b"11111111-0000-0000-"))


def as_it_was(connection: ssl.SSLSocket, body: bytes) -> bool:
    return right(connection, body.replace(b"nginx", b"ghcr.io/nginx"))


def unavailable(connection: ssl.SSLSocket, _body: bytes) -> bool:
    connection.sendall(_ANSWER % (503, 0, b"", b""))
    return True


def nothing(_connection: ssl.SSLSocket, _body: bytes) -> bool:
    return False


def half(connection: ssl.SSLSocket, _body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    return False


def reset(connection: ssl.SSLSocket, _body: bytes) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def silent(_connection: ssl.SSLSocket, _body: bytes) -> bool:
    return True


def serve(connection: ssl.SSLSocket, behave: Behaviour) -> None:
    """Read requests, and do with each what is to be done."""
    with suppress(OSError), connection, connection.makefile("rb") as file:
        while line := file.readline():
            length = 0
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split()[1])
                line = file.readline()
            if not behave(connection, file.read(length)):
                return


@contextmanager
def serving(place: Place, behave: Behaviour) -> Iterator[tuple[str, int]]:
    """Run a server that behaves so, until the block ends."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place.folder / "tls.crt", place.folder / "tls.key")

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=begin, args=(connection,), daemon=True).start()

    def begin(connection: socket.socket) -> None:
        with suppress(OSError):
            serve(context.wrap_socket(connection, server_side=True), behave)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("behave", "what"),
    [
        (nothing, "EOF before any byte of the answer"),
        (half, "EOF in the answer"),
        (reset, "reset before any byte of the answer"),
        (unavailable, "status 503"),
        (another_ones, "the answer to another request"),
        (as_it_was, "a wrong answer: "),
        (silent, f"no answer within {PATIENCE:.0f} s, before any byte of the answer"),
    ],
)
def test_traffic_failure_named_by_cause(place: Place, behave: Behaviour, what: str) -> None:
    with serving(place, behave) as address, traffic(address, place.trust, rate=50) as load:
        wait_until(lambda: load.result().connections > 0)
    result = load.result()
    assert result.failures
    assert not result.answers
    assert all(failure.what.startswith(what) for failure in result.failures), str(result)
    with pytest.raises(AssertionError, match=what.split(":", maxsplit=1)[0]):
        result.none_failed()


def test_traffic_connection_refused_counted(place: Place) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # so that no other process listens there
        with traffic(unheard.getsockname(), place.trust, rate=50) as load:
            wait_until(lambda: bool(load.result().failures))
    assert {failure.what for failure in load.result().failures} == {"refused at the connection"}


def test_traffic_untrusted_certificate_counted(place: Place) -> None:
    with serving(place, right) as address, traffic(address, ssl.create_default_context(), rate=50) as load:
        wait_until(lambda: bool(load.result().failures))
    (what,) = {failure.what for failure in load.result().failures}
    assert what.startswith("a certificate that is not trusted")


@pytest.mark.parametrize("behave", [right_and_closed, right_and_last])
def test_traffic_closed_connection_not_reused(place: Place, behave: Behaviour) -> None:
    with serving(place, behave) as address, traffic(address, place.trust, rate=10) as load:
        time.sleep(1)
    result = load.result().none_failed()
    assert result.connections == len(result.answers)


@pytest.mark.parametrize(("fresh", "least", "most"), [(0.0, 0.0, 0.5), (0.5, 0.5, 0.9), (1.0, 1.0, 1.0)])
def test_traffic_connections_reused_except_share(place: Place, fresh: float, least: float, most: float) -> None:
    with serving(place, right) as address, traffic(address, place.trust, rate=100, fresh=fresh) as load:
        time.sleep(1)
    result = load.result().none_failed()
    assert {answer.outcome for answer in result.answers} == {Outcome()}
    assert least <= result.connections / len(result.answers) <= most


def test_traffic_rate_kept_while_answers_stall(place: Place) -> None:
    free = threading.Event()

    def stall(connection: ssl.SSLSocket, body: bytes) -> bool:
        free.wait(PATIENCE)
        return right(connection, body)

    with serving(place, stall) as address, traffic(address, place.trust, rate=50, together=5) as load:
        wait_until(lambda: load.result().connections > 25)
        time.sleep(1)
        free.set()
    result = load.result().none_failed()
    assert result.connections > 25
    assert result.slowest > 0.9
    assert result.percentile(50) < result.percentile(99) <= result.slowest
