"""Mixed traffic and all kinds of failures for a long time: memory and descriptors stay constant."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.support.server_process import CONFIGURATION, Server, replace, wait_until
from webhook.admission import review

from .conftest import Form
from .hostile import Kind, hostile
from .memory import descriptors, memory
from .traffic import traffic

#: Seconds in one round of as many requests as can be answered, of faults, and of quiet.
_BURST, _FAULTS, _QUIET = 1.5, 7.0, 2.0
#: MiB from one quarter to the next, where the C library gives pages back as it sees fit.
_NOTHING = 8.0
_CLIENTS = {
    Kind.SILENT: 30,
    Kind.IDLE: 30,
    Kind.HALF: 30,
    Kind.DRIPPING: 30,
    Kind.DEAF: 20,
    Kind.BULKY: 12,
    Kind.HANDSHAKING: 10,
    Kind.GARBAGE: 20,
    Kind.LEAVING: 20,
    Kind.PLAIN: 30,
}


class Seen(NamedTuple):
    """The server at rest."""

    at: float
    """Seconds since the beginning."""
    memory: float
    """MiB."""
    descriptors: int
    """Those of connections left out: the traffic keeps as many as it needed at once."""


def test_soak_memory_and_descriptors_constant(
    server: Server, form: Form, figure: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    seen, reviews = [], 0
    with traffic(server.secure, server.trust, rate=50, fresh=0.3) as load:
        for turn in itertools.count():
            with hostile(server, {Kind.PIPELINING: 2}, again=0.5) as clients:
                time.sleep(_BURST)
                reviews += clients.end()[Kind.PIPELINING].answered
            with hostile(server, _CLIENTS, again=0.5) as clients:
                _break_and_mend(server, turn)
                _send_what_nobody_knows(server, turn)
                time.sleep(_FAULTS)
                clients.end()
            time.sleep(_QUIET)
            _empty_log(server)
            seen.append(Seen(time.monotonic() - began, memory(server), _own_descriptors(server)))
            if seen[-1].at > form.soak:
                break
    # The decisions that are known, and what the C library keeps of what was free once, have their size after a while.
    settled, last = seen[len(seen) // 2 :], seen[len(seen) * 3 // 4 :]
    growth = _growth(settled[: -len(last)], last)
    figure(f"Soak of {seen[-1].at:.0f} s, {len(seen)} rounds", load.result().none_failed())
    figure("Soak: reviews in bursts", f"{reviews:,}")
    figure("Soak: memory, MiB", " ".join(f"{one.memory:.0f}" for one in seen))
    figure("Soak: slope of memory in its second half", f"{_slope(settled) * 3600:+.1f} MiB an hour")
    figure("Soak: memory from the third quarter to the last", f"{growth:+.1f} MiB")
    figure("Soak: descriptors", " ".join(str(one.descriptors) for one in seen))
    assert growth < _NOTHING
    # The fewest, because a connection that opens between two readings is counted. A leak raises all of them.
    assert min(one.descriptors for one in last) <= statistics.median(one.descriptors for one in seen[: len(last)])


def _own_descriptors(server: Server) -> int:
    return descriptors(server) - int(server.metric('registry_webhook_connections{port="https"}'))


def _empty_log(server: Server) -> None:
    """Forget what was logged, for it would be gigabytes."""
    log = server.place.folder / "log"
    with log.open("rb") as lines:
        assert not any(b"Traceback" in line for line in lines)
    os.truncate(log, 0)


def _break_and_mend(server: Server, turn: int) -> None:
    """Have the server take up files that are new, and keep what it has where they are broken."""
    folder = server.place.folder
    replace(folder / "tls.key", b"no key")
    server.place.configure("opencti: [")
    wait_until(lambda: server.probe("/readyz").body.count(b" reload failed, ") == 2)
    server.place.write_pair()
    server.place.configure(f"{CONFIGURATION}webhook: {{exclude: ['nobody.example.com/{turn}']}}\n")
    wait_until(lambda: server.probe("/readyz").body == b"ready\n")
    assert server.probe("/metrics").status == 200


def _send_what_nobody_knows(server: Server, turn: int) -> None:
    """Send Pods of images and sizes that were never there before."""
    with server.client() as client:
        for number in range(300):
            container = {"name": "a", "image": f"team/unseen:{turn}-{number}"}
            pod = {"metadata": {"name": "x"}, "spec": {"containers": [container] * (number % 40 + 1)}}
            assert client.review(review.encode_review(pod)).response["allowed"]


def _growth(before: Sequence[Seen], after: Sequence[Seen]) -> float:
    """Return the least growth of minimum, median and maximum memory, in MiB.

    A leak raises all three. Free memory that the C library does not return raises some, by tens of MiB when busy.
    """
    return min(
        measure([one.memory for one in after]) - measure([one.memory for one in before])
        for measure in (min, statistics.median, max)
    )


def _slope(seen: Sequence[Seen]) -> float:
    """Give the growth of memory in MiB a second, the middle of what any two moments tell: none decides alone."""
    return statistics.median((b.memory - a.memory) / (b.at - a.at) for a, b in itertools.combinations(seen, 2))
