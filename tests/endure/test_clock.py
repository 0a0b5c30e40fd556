"""The wall clock of the real processes jumps by two years, forward and back.

The preloaded library (`clock.c`) changes the time that a process sees.
"""

import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.integration.server.test_connection_limits import HEAD, POD, closed
from tests.support import refresher_process as sidecars
from tests.support import tls_server
from tests.support.fake_api_server import ApiServer
from tests.support.server_process import PATIENCE, Place, Server, serving, wait_until
from webhook.admission import review
from webhook.constants import DESELECTED_ANNOTATION
from webhook.pki import ca
from webhook.server import http1

_YEARS = timedelta(days=2 * 365)
_NOT = timedelta()
#: There and back, twice: the clock ends as it was.
_JUMPS = (_YEARS, _NOT, -_YEARS, _NOT)
#: Seconds in which a faked clock and this test's may part, on a machine that does much else.
_APART = 30.0
#: Seconds in which the sidecar makes two rounds.
_ROUNDS = 2.5


class Faked:
    """A wall clock that a test sets, for the processes that are started with its variables."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self._file.touch()
        self.set(_NOT)
        self.variables = {"LD_PRELOAD": str(library), "FAKED_CLOCK": str(file)}

    def set(self, by: timedelta) -> None:
        """Have it differ from the time by so much."""
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", int(by.total_seconds())))
        self._by = by

    def now(self) -> datetime:
        """Give the time that it shows."""
        return datetime.now(UTC) + self._by


@pytest.fixture
def clock(tmp_path: Path) -> Faked:
    """A clock that is right."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc), and what fakes a clock is in C")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=PATIENCE)
    return Faked(library, tmp_path / "clock")


@pytest.fixture
def server(place: Place, clock: Faked) -> Iterator[Server]:
    """The real server, whose clock is faked."""
    with serving(place, drain=0.2, around=None, **clock.variables) as running:
        yield running
        assert "Traceback" not in running.log


def test_server_clock_jump_answers_in_time(server: Server, clock: Faked, figure: Callable[[str, object], None]) -> None:
    workers, longest = server.workers(), 0.0
    with server.client() as kept:
        for by in _JUMPS:
            began = time.monotonic()
            slow = server.tls()
            slow.sendall(HEAD)
            clock.set(by)
            while not closed(slow):
                for ask in (kept.review, server.review):
                    asked = time.monotonic()
                    answer = ask(review.encode_review(POD))
                    longest = max(longest, time.monotonic() - asked)
                    assert answer.status == 200
                    assert answer.response["allowed"]
                    date = parsedate_to_datetime(str(answer.headers["Date"]))
                    assert abs((date - clock.now()).total_seconds()) < _APART
                time.sleep(0.05)
            open_for = time.monotonic() - began
            slow.close()
            # Neither at once nor in two years. Meanwhile gunicorn has looked for its worker's signs of life.
            assert http1.REQUEST_TIMEOUT - 0.5 < open_for < PATIENCE
            assert server.workers() == workers
            assert server.probe("/readyz").status == 200
    figure(f"{len(_JUMPS)} jumps by two years, the slowest answer meanwhile", longest)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[sidecars.Place]:
    """An API server whose certificate is valid whatever the sidecar's clock says."""
    begins, life = datetime.now(UTC) - 2 * _YEARS, 4 * _YEARS
    ours = ca.create_ca("test", begins, life)
    pair = ca.sign(ours, ["127.0.0.1", "localhost"], begins, life)
    made = sidecars.make_place(tmp_path, pair, ours.certificate)
    made.api.call()
    yield made
    made.api.stop()


def writes(api: ApiServer) -> int:
    return sum(asked.method == "PATCH" and "registry-webhook-certificate" in asked.path for asked in list(api.asked))


def writes_nothing(api: ApiServer) -> bool:
    """Return whether nothing is written for two rounds."""
    before = writes(api)
    time.sleep(_ROUNDS)
    return writes(api) == before


def test_refresher_clock_jump_certificate_stays_valid(
    cluster: sidecars.Place, clock: Faked, figure: Callable[[str, object], None]
) -> None:
    api, longest = cluster.api, 0.0
    with (
        tls_server.serving(cluster, "one") as server,
        sidecars.refreshing(
            cluster, "log", f"--tls-folder={server.folder}", f"--tls-server={server.address}", **clock.variables
        ) as sidecar,
    ):

        def well() -> bool:
            served = server.certificate
            return (
                bool(served)
                and ca.validity(served).holds(clock.now())
                and served == api.certificate("tls.crt")
                and tls_server.said(api, "log") == ca.fingerprint(served)
                and api.certificate("ca.crt") in api.bundle
            )

        wait_until(well)
        api.label("team")
        wait_until(lambda: "team" in api.secrets)
        api.label("team", None)
        wait_until(lambda: bool(api.annotation("team", DESELECTED_ANNOTATION)))
        for by in _JUMPS:
            began = time.monotonic()
            clock.set(by)
            wait_until(well)
            longest = max(longest, time.monotonic() - began)
            if by:
                api.edit("team")
                wait_until(lambda: api.content("team") == sidecars.PASSWORD)
        renewals = sidecar.metric("certificate_renewals_total")
        assert renewals <= 1 + 2 * len(_JUMPS)
        wait_until(lambda: writes_nothing(api))
    figure(f"{len(_JUMPS)} jumps by two years, until a valid pair was served", longest)
