"""Dependencies of a server fail: the disk, the reader of its log, its own worker."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server_process import Around, Place, Server, serving, wait_until
from webhook.admission import review

from .traffic import traffic

#: More than a pipe and what waits behind it hold.
_REVIEWS = 8000
_POD = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}

#: Everything is read-only, and the two folders that programs put temporary files into are there and full.
_READ_ONLY = r"""
set -e
cut -d' ' -f2 /proc/self/mounts | sort -u | while read -r mounted; do
  mount -o remount,bind,ro "$mounted" 2>/dev/null || true
done
for folder in /dev/shm "$TMPDIR"; do
  mount -t tmpfs -o size=64k tmpfs "$folder"
  cat /dev/zero >"$folder/full" 2>/dev/null || true
done
exec "$@"
"""


def _changes_mounts() -> bool:
    return os.geteuid() == 0 and shutil.which("unshare") is not None


@pytest.mark.skipif(not _changes_mounts(), reason="only root can have mounts of its own, with unshare")
def test_disk_read_only_and_tmp_full_server_works(place: Place, figure: Callable[[str, object], None]) -> None:
    temporary = place.folder / "temporary"
    temporary.mkdir()
    around = Around(within=("unshare", "--mount", "--propagation=private", "sh", "-c", _READ_ONLY, "sh"))
    with serving(place, around=around, TMPDIR=str(temporary)) as server:
        (first,) = server.workers()
        for folder, problem in (("", "Read-only"), ("/temporary", "No space"), ("/../../../../dev/shm", "No space")):
            with pytest.raises(OSError, match=problem):
                Path(f"/proc/{first}/root{place.folder}{folder}/new").write_bytes(bytes(9000))
        with traffic(server.secure, server.trust, fresh=0.1) as load:
            body = review.encode_review(_POD).ljust(review.BODY_LIMIT)
            assert server.review(body).status == 200
            place.write_pair()
            wait_until(lambda: server.log.count("certificate loaded") == 2)
            time.sleep(2)
        figure("Read-only disk, full temporary folder", load.result().none_failed())
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [first]) and server.review(body).status == 200)


@contextmanager
def read_into(place: Place) -> Iterator[tuple[int, threading.Event]]:
    """Give a pipe whose other end is read into the file `log`, and what says whether it is read now."""
    reading, writing = os.pipe()
    is_read = threading.Event()
    is_read.set()

    def read() -> None:
        with (place.folder / "log").open("ab", buffering=0) as log:
            while is_read.wait() and (lines := os.read(reading, 65536)):
                log.write(lines)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield writing, is_read
    finally:
        is_read.set()
        os.close(writing)
        thread.join()
        os.close(reading)


def test_log_blocked_server_works_loss_reported(place: Place, figure: Callable[[str, object], None]) -> None:
    with read_into(place) as (pipe, is_read), serving(place, around=Around(log=pipe)) as server:
        is_read.clear()
        with traffic(server.secure, server.trust) as load, server.client() as client:
            for number in range(_REVIEWS):
                assert client.review(review.encode_review(_POD, uid=f"u-{number}")).status == 200
        result = load.result().none_failed()
        lost = server.metric("registry_webhook_log_lines_dropped_total")
        figure("Log that nobody reads", result)
        figure("Log that nobody reads: lines lost of some", f"{lost:.0f} of {_REVIEWS + len(result.answers)}")
        assert 0 < lost < _REVIEWS
        is_read.set()
        last = review.encode_review(_POD, uid="u-last")
        # What was kept comes first, and lines are accepted again before the loss is reported.
        wait_until(lambda: server.review(last).status == 200 and "uid=u-last " in _after_loss(server.log)[1])
        kept, after = _after_loss(server.log)
        assert "uid=u-100 " in kept
        assert int(after.partition("\n")[0]) >= lost


def _after_loss(log: str) -> tuple[str, str]:
    """Split a log at the report of the lines that were lost."""
    kept, _, after = log.partition("log lines dropped count=")
    return kept, after


def test_worker_paused_replaced(place: Place, figure: Callable[[str, object], None]) -> None:
    with serving(place) as server:
        (first,) = server.workers()
        os.kill(first, signal.SIGSTOP)
        began = time.monotonic()
        _wait_for_another(server, first)
        figure("A worker that stands still is replaced after", time.monotonic() - began)


def _wait_for_another(server: Server, first: int) -> None:
    """Wait for an answer of another worker, longer than gunicorn's own patience of 30 s."""
    deadline = time.monotonic() + 90
    while server.workers() in ([], [first]):
        assert time.monotonic() < deadline, "nobody has replaced it"
        time.sleep(0.1)
    wait_until(lambda: server.review(review.encode_review(_POD)).status == 200)
