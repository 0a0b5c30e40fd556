"""Slow and idle clients, four times the connection limit: other clients are still answered."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.server_process import Server
from webhook.server import http1
from webhook.server.worker import CONNECTIONS, HEALTH_CONNECTIONS

from .hostile import Kind, hostile
from .memory import most_memory
from .traffic import traffic

#: Seconds that a request may take, whoever else is there.
_MOST = 2.0
_EACH = 4 * CONNECTIONS // 5


@contextmanager
def probing(server: Server) -> Iterator[list[float]]:
    """Ask for liveness ten times a second, and give the seconds that each answer took."""
    stop = threading.Event()
    taken: list[float] = []

    def ask() -> None:
        while not stop.wait(0.1):
            began = time.monotonic()
            try:
                server.probe("/healthz")
            except OSError:
                taken.append(math.inf)
            else:
                taken.append(time.monotonic() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    yield taken
    stop.set()
    thread.join()


def test_slow_clients_fourfold_others_not_delayed(server: Server, figure: Callable[[str, object], None]) -> None:
    kinds = dict.fromkeys((Kind.SILENT, Kind.IDLE, Kind.HALF, Kind.DRIPPING, Kind.DEAF), _EACH)
    kinds[Kind.PLAIN] = 4 * HEALTH_CONNECTIONS
    with (
        probing(server) as probes,
        traffic(server.secure, server.trust, rate=50, fresh=0.5) as load,
        hostile(server, kinds, again=3.0) as clients,
    ):
        time.sleep(4 * http1.REQUEST_TIMEOUT)
        fates = clients.end()
    result = load.result().none_failed()
    figure(f"{sum(kinds.values())} slow clients, others meanwhile", result)
    figure(f"{sum(kinds.values())} slow clients, {len(probes)} probes, the slowest", max(probes))
    for kind, fate in fates.items():
        figure(f"Slow clients: {kind}", fate)
    figure("Slow clients: memory of the server at its most", f"{most_memory(server):.0f} MiB")
    assert result.slowest < _MOST
    assert max(probes) < _MOST
    assert len(probes) > 50
    for kind, fate in fates.items():
        assert fate.closed > 0, kind
        assert fate.kept == 0, (kind, fate)


def test_slow_clients_within_limit_closed_in_time(server: Server, figure: Callable[[str, object], None]) -> None:
    kinds = dict.fromkeys((Kind.SILENT, Kind.IDLE, Kind.HALF, Kind.DRIPPING, Kind.DEAF, Kind.PLAIN), 40)
    with hostile(server, kinds, again=0.5) as clients:
        time.sleep(3 * http1.REQUEST_TIMEOUT)
        fates = clients.end()
    for kind, fate in fates.items():
        figure(f"Slow clients with places to spare: {kind}", fate)
        assert fate.closed >= 40, kind
        assert fate.kept == 0, kind
        assert fate.longest > http1.REQUEST_TIMEOUT - 1, kind
