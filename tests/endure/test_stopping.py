"""The server stops with requests in flight, is replaced under load, and is killed."""

import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.server_process import CONFIGURATION, PATIENCE, Place, Server, serving, wait_until

from .balancer import Balancer, balancing
from .conftest import Form
from .traffic import request, traffic

Figure = Callable[[str, object], None]

_REQUEST = request(0)
_BODY = _REQUEST.partition(b"\r\n\r\n")[2]
#: Seconds within which a client has heard that a process is gone.
_HEARD = 1.0
_HALF = len(_REQUEST) - len(_BODY) // 2


def finish(connection: ssl.SSLSocket) -> bytes:
    """Send the second half of a request, and give all that comes until the connection is closed."""
    connection.sendall(_REQUEST[_HALF:])
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def is_refused(server: Server) -> bool:
    try:
        server.tcp().close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_requests_in_flight_answered_then_refused(place: Place, figure: Figure) -> None:
    with serving(place, drain=2.0) as server, ExitStack() as stack:
        under_way = [stack.enter_context(server.tls()) for _ in range(100)]
        for connection in under_way:
            connection.sendall(_REQUEST[:_HALF])
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.probe("/readyz").status == 503)
        accepted = 0
        while time.monotonic() < began + 1:
            answer = server.review(_BODY)
            assert (answer.status, answer.headers["Connection"]) == (200, "close")
            accepted += 1
        answers = [finish(connection) for connection in under_way[:50]]
        wait_until(lambda: is_refused(server))
        refused = time.monotonic() - began
        assert server.process.poll() is None, "it has gone with requests under way"
        answers += [finish(connection) for connection in under_way[50:]]
        assert server.process.wait(PATIENCE) == 0
        left = time.monotonic() - began
    heads = [answer.partition(b"\r\n\r\n")[0] for answer in answers]
    assert all(head.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in head for head in heads)
    assert "aborted_connections=0" in server.log
    figure(
        "SIGTERM with a drain of 2 s",
        f"100 of 100 half-sent requests answered, {accepted} of {accepted} on new connections, "
        f"which were refused after {refused:.1f} s; gone after {left:.1f} s",
    )


def test_sigterm_worker_paused_requests_answered(place: Place) -> None:
    with serving(place, drain=3.0) as server, server.tls() as kept:
        kept.sendall(_REQUEST)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        (worker,) = server.workers()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.probe("/readyz").status == 503)
        os.kill(worker, signal.SIGSTOP)
        kept.sendall(_REQUEST)
        time.sleep(3.5)
        os.kill(worker, signal.SIGCONT)
        assert kept.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(PATIENCE) == 0


class Cluster:
    """Servers that come and go behind a balancer."""

    def __init__(self, stack: ExitStack, place: Place, balancer: Balancer) -> None:
        self._stack = stack
        self._place = place
        self._number = 0
        self.balancer = balancer
        self.servers: list[Server] = []

    def start(self) -> None:
        """Start one more, with a certificate of its own, and wait until it is given connections."""
        self._number += 1
        folder = self._place.folder / str(self._number)
        folder.mkdir()
        place = Place(folder, self._place.ours)
        place.configure(CONFIGURATION)
        place.write_pair()
        # Many times as long as the balancer takes to notice, also on a machine that does much else.
        server = self._stack.enter_context(serving(place, drain=2.0))
        self.servers.append(server)
        self.balancer.add(server)
        wait_until(lambda: self.balancer.is_given(server))

    def replace_oldest(self) -> None:
        """Start one, and stop the one that has run longest."""
        self.start()
        oldest = self.servers.pop(0)
        assert oldest.stop() == 0
        self.balancer.remove(oldest)
        assert "aborted_connections=0" in oldest.log


@pytest.fixture
def cluster(place: Place) -> Iterator[Cluster]:
    """Two servers behind a balancer."""
    with balancing() as balancer, ExitStack() as stack:
        made = Cluster(stack, place, balancer)
        made.start()
        made.start()
        yield made


def test_rolling_replacement_no_request_lost(cluster: Cluster, form: Form, figure: Figure) -> None:
    with traffic(cluster.balancer.address, cluster.servers[0].trust, together=2, fresh=0.1) as load:
        for _ in range(form.replacements * len(cluster.servers)):
            cluster.replace_oldest()
    result = load.result().none_failed()
    assert cluster.balancer.refused == 0
    served = len({answer.certificate for answer in result.answers})
    assert served == 2 + form.replacements * 2
    figure(f"{form.replacements} rolling replacements of two servers", result)


def test_server_killed_only_sent_requests_lost(cluster: Cluster, figure: Figure) -> None:
    killed = cluster.servers[0]
    with killed.tls() as connection:
        certificate = str((connection.getpeercert() or {})["serialNumber"])
    with traffic(cluster.balancer.address, killed.trust, rate=200, together=5, fresh=0.1) as load:
        time.sleep(1)
        workers = killed.workers()
        moment = time.monotonic()
        for process in (killed.process.pid, *workers):
            os.kill(process, signal.SIGKILL)
        wait_until(lambda: len(load.result().since(moment + _HEARD).answers) > 100)
    result = load.result()
    assert any(answer.certificate == certificate for answer in result.answers)
    # None: one that was being made.
    assert {failure.certificate for failure in result.failures} <= {certificate, None}, str(result)
    result.since(moment + _HEARD).none_failed()
    figure("SIGKILL of one server of two, 200 requests a second", result)


def test_worker_killed_replaced_only_sent_requests_lost(place: Place, figure: Figure) -> None:
    with serving(place) as server:
        with traffic(server.secure, server.trust, rate=200, together=5, fresh=0.1) as load:
            time.sleep(1)
            (worker,) = server.workers()
            moment = time.monotonic()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: len(load.result().since(moment + _HEARD).answers) > 100)
        assert server.workers() != [worker]
    result = load.result()
    result.since(moment + _HEARD).none_failed()
    back = min(answer.ended for answer in result.answers if answer.sent > moment) - moment
    figure("SIGKILL of the worker, 200 requests a second", f"answered again after {1000 * back:.0f} ms; {result}")


def test_supervisor_killed_no_request_lost(cluster: Cluster, figure: Figure) -> None:
    killed = cluster.servers[0]
    (worker,) = killed.workers()
    with traffic(cluster.balancer.address, killed.trust, rate=200, together=2, fresh=0.1) as load:
        time.sleep(0.5)
        killed.process.kill()
        wait_until(lambda: not Path(f"/proc/{worker}").exists())
    figure("SIGKILL of the supervisor, 200 requests a second", load.result().none_failed())


def test_supervisor_killed_connections_told_to_close(place: Place) -> None:
    with serving(place, drain=PATIENCE) as server:
        (worker,) = server.workers()
        server.process.kill()
        try:
            wait_until(lambda: server.probe("/readyz").status == 503)
            assert server.review(_BODY).headers["Connection"] == "close"
        finally:
            os.kill(worker, signal.SIGKILL)
