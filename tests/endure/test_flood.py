"""More than the server can do: it does what it can, refuses the rest, and is itself again when it is over."""

import time
from collections.abc import Callable

from tests.serving.running import Server

from .conftest import Form
from .hostile import Kind, hostile
from .memory import LIMIT, cpu, memory, most_memory
from .traffic import traffic

_FLOOD = {Kind.PIPELINING: 150, Kind.BULKY: 60, Kind.HANDSHAKING: 50, Kind.GARBAGE: 50, Kind.LEAVING: 20}


def test_a_flood_is_answered_as_far_as_it_can_be_and_over_in_a_second(
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
