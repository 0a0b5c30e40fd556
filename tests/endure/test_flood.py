"""Overload: the server does what it can, refuses the rest, and recovers."""

import time
from collections.abc import Callable

import pytest

from tests.support.server_process import CONFIGURATION, Place, Server, serving

from .conftest import Form
from .hostile import Kind, hostile
from .memory import LIMIT, cpu, memory, most_memory
from .traffic import traffic

_FLOOD = {Kind.PIPELINING: 150, Kind.BULKY: 60, Kind.HANDSHAKING: 50, Kind.GARBAGE: 50, Kind.LEAVING: 20}


def test_flood_mostly_answered_and_over_in_second(
    server: Server, form: Form, figure: Callable[[str, object], None]
) -> None:
    with traffic(server.secure, server.trust, rate=50, fresh=0.2) as load:
        time.sleep(5)
        before = load.result().none_failed()
        began, computed = time.monotonic(), cpu(server)
        with hostile(server, _FLOOD, again=0.1) as clients:
            time.sleep(form.flood)
            fates = clients.end()
        ended = time.monotonic()
        share = (cpu(server) - computed) / (ended - began)
        time.sleep(6)
    everything = load.result()
    during = everything.between(began, ended)
    after = everything.between(ended + 1, time.monotonic()).none_failed()
    figure(f"Flood of {form.flood:.0f} s: before", before)
    figure("Flood: meanwhile", during)
    figure("Flood: from a second after it on", after)
    figure("Flood: answered of its own", f"{fates[Kind.PIPELINING].answered / form.flood:,.0f} requests a second")
    for kind in (Kind.BULKY, Kind.HANDSHAKING, Kind.GARBAGE):
        figure(f"Flood: {kind}", fates[kind])
    figure("Flood: the server's share of a core", f"{share:.0%}")
    figure("Flood: memory, at its most and after it", f"{most_memory(server):.0f} and {memory(server):.0f} MiB")
    assert most_memory(server) < LIMIT
    # It was more than it could do, and nobody who was no part of it was forgotten.
    assert share > 0.5
    assert len(during.answers) > 0.9 * (len(during.answers) + len(during.failures))


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param({Kind.COSTLY: 30}, id="few connections"),
        pytest.param({Kind.COSTLY: 80}, id="many connections"),
        pytest.param({Kind.COSTLY: 480}, id="nearly all connections"),
        pytest.param({Kind.COSTLIEST: 8}, id="largest reviews"),
        pytest.param({Kind.ALMOST: 80}, id="small reviews"),
        pytest.param({Kind.MISFIT: 80}, id="misfits"),
        pytest.param({Kind.DEPENDENT: 80}, id="rules"),
        pytest.param({Kind.TRICKLING: 200, Kind.DEPARTING: 10}, id="slow and leaving"),
        pytest.param({Kind.COSTLY: 20, Kind.COSTLIEST: 4, Kind.ALMOST: 20, Kind.MISFIT: 20}, id="all at once"),
    ],
)
def test_flood_expensive_reviews_others_answered_in_second(
    place: Place, form: Form, figure: Callable[[str, object], None], numbers: dict[Kind, int]
) -> None:
    # All come from one address, as they do where a tenant floods an API server.
    rules = "".join(f"    - {{from: quay.io/0a{number}, to: mirror.example.com/{number}}}\n" for number in range(2000))
    place.configure(CONFIGURATION + f"webhook:\n  rules:\n{rules}")
    with serving(place) as server, traffic(server.secure, server.trust, rate=20, fresh=0.5) as load:
        time.sleep(1)
        load.result().none_failed()
        began = time.monotonic()
        with hostile(server, numbers, again=0.1) as clients:
            time.sleep(form.flood / 2)
            fates = clients.end()
        during = load.result().since(began + 1)
        figure(f"Flood of {', '.join(numbers)}: others", during)
        figure("Flood: its own", "; ".join(f"{kind}: {fate}" for kind, fate in fates.items()))
        assert most_memory(server) < LIMIT
        # Together they keep two threads and the event loop busy; one of them alone, half as many.
        assert during.none_failed().percentile(99) < (1 if len(numbers) < 4 else 3)
