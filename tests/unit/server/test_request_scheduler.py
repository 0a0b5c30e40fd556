"""The order in which requests are answered, and that expensive requests do not delay others."""

import asyncio
import gc
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.support.polling import eventually
from webhook.admission import review
from webhook.server import request_scheduler, routes
from webhook.server.request_scheduler import MEDIUM, SMALL, FairQueue, PendingRequest, RequestScheduler
from webhook.server.routes import Reply, Request

ONE, OTHER = "192.0.2.1", "192.0.2.2"


def in_namespace(namespace: str, images: int) -> Request:
    """Return a review as API servers send it."""
    pod = {"metadata": {"namespace": namespace}, "spec": {"containers": [{"image": "a"}] * images}}
    return Request(b"POST", b"/mutate", {}, review.encode_review(pod), ONE)


def request(size: int, client: str = ONE, path: bytes = b"/") -> Request:
    return Request(b"POST", path, {}, bytes(size), client)


def put(queue: FairQueue, size: int, client: str = ONE) -> PendingRequest:
    return queue.put(request(size, client), lambda _: None)


def served(queue: FairQueue, seconds: Callable[[Request], float]) -> Iterator[tuple[str, int]]:
    """Empty a queue; `seconds` is how long a request takes."""
    while (found := queue.get()) is not None:
        waiting, taken = found
        waiting.charge(seconds(taken))
        yield taken.client, len(taken.body)


def test_queue_serves_smallest_request_of_client_first() -> None:
    queue = FairQueue()
    for size in (30, 10, 20, 10):
        put(queue, size)
    assert [size for _, size in served(queue, lambda _: 1)] == [10, 10, 20, 30]


def test_queue_clients_get_equal_time() -> None:
    queue = FairQueue()
    for _ in range(100):
        put(queue, 1000)
        put(queue, 10, OTHER)
    order = list(served(queue, lambda taken: len(taken.body)))
    # For each large one of the one client, a hundred small ones of the other.
    assert (ONE, 1000) in order[:2]
    assert order[2:102].count((ONE, 1000)) <= 1
    assert order.count((OTHER, 10)) == order.count((ONE, 1000)) == 100


def test_queue_client_sending_one_by_one_gets_no_more() -> None:
    queue = FairQueue()
    for _ in range(200):
        put(queue, 10, OTHER)
    put(queue, 1000)
    taken: list[str] = []
    while len(taken) < 200:
        found = queue.get()
        assert found is not None
        waiting, asked = found
        waiting.charge(len(asked.body))
        taken.append(asked.client)
        if asked.client == ONE:
            put(queue, 1000)
    assert taken.count(ONE) <= 3


def test_queue_new_client_is_next_without_credit() -> None:
    queue = FairQueue()
    for _ in range(10):
        put(queue, 1)
    for _ in range(5):
        found = queue.get()
        assert found is not None
        found[0].charge(100)
    for _ in range(10):
        put(queue, 1, OTHER)
    order = [client for client, _ in served(queue, lambda _: 100)]
    assert order[0] == OTHER
    assert order[:6].count(ONE) >= 2


def test_queue_cancelled_request_freed_and_skipped() -> None:
    queue = FairQueue()
    cancelled = put(queue, 1)
    put(queue, 2)
    cancelled.cancel()
    assert cancelled.request is None
    assert [size for _, size in served(queue, lambda _: 1)] == [2]
    assert queue.get() is None


def test_queue_namespaces_of_client_get_equal_time() -> None:
    queue = FairQueue()
    for _ in range(50):
        queue.put(in_namespace("team-a", 10), lambda _: None)
    other = in_namespace("team-b", 1000)
    queue.put(other, lambda _: None)
    order = []
    for _ in range(3):
        found = queue.get()
        assert found is not None
        found[0].charge(1)
        order.append(found[1])
    assert other in order


def test_queue_many_namespaces_bounded_memory() -> None:
    def rounds(number: int) -> int:
        for each in range(number):
            queue.put(in_namespace(f"team-{each}", 1), lambda _: None)
            found = queue.get()
            assert found is not None
            found[0].charge(1)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    queue = FairQueue()
    put(queue, 1, OTHER)  # so that it never gets empty
    put(queue, 1, OTHER)
    tracemalloc.start()
    try:
        before = rounds(500)
        assert rounds(5000) < before + 100_000
    finally:
        tracemalloc.stop()


def test_queue_cancelled_request_leaves_no_reference() -> None:
    class Connection:
        def answered(self, _: Reply) -> None: ...

    queue = FairQueue()
    put(queue, 1)
    connection = Connection()
    gone = weakref.ref(connection)
    queue.put(request(2), connection.answered).cancel()
    del connection
    gc.collect()
    assert gone() is None


class Harness:
    """A scheduler that records answers and threads."""

    def __init__(self, application: Callable[[Request], Reply]) -> None:
        self.answered: list[bytes] = []
        self.threads: dict[bytes, int] = {}
        self._application = application
        self.scheduler = RequestScheduler(self._answer, asyncio.get_running_loop())

    def _answer(self, asked: Request) -> Reply:
        self.threads[asked.path] = threading.get_ident()
        return self._application(asked)

    def ask(self, size: int, path: bytes, client: str = ONE) -> PendingRequest | None:
        """Ask; return the pending request if it is not answered at once."""
        found = self.scheduler.answer(request(size, client, path), lambda _: self.answered.append(path))
        if isinstance(found, PendingRequest):
            return found
        self.answered.append(path)
        return None

    async def until(self, number: int) -> None:
        """Wait until `number` requests are answered."""
        await eventually(lambda: len(self.answered) >= number)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_scheduler_small_request_answered_at_once_on_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        harness = Harness(lambda _: routes.alive())
        for number in range(20):
            assert harness.ask(SMALL, b"%d" % number) is None
        assert set(harness.threads.values()) == {threading.get_ident()}

    monkeypatch.setattr(request_scheduler, "_ITERATION", 60)  # however little time the process gets
    run(test)


@pytest.mark.parametrize("size", [SMALL + 1, MEDIUM + 1])
def test_scheduler_large_request_blocks_no_other_size(size: int) -> None:
    async def test() -> None:
        go = threading.Event()

        def answer(asked: Request) -> Reply:
            if asked.path == b"slow":
                assert go.wait(10)
            return routes.alive()

        harness = Harness(answer)
        assert harness.ask(size, b"slow") is not None
        assert harness.ask(SMALL, b"small") is None
        other = MEDIUM + 1 if size <= MEDIUM else SMALL + 1
        assert harness.ask(other, b"other") is not None
        await harness.until(2)
        assert harness.answered == [b"small", b"other"]
        await eventually(lambda: b"slow" in harness.threads)
        assert harness.threads[b"slow"] != threading.get_ident()
        go.set()
        await harness.until(3)

    run(test)


def test_scheduler_large_requests_in_turn_by_client() -> None:
    async def test() -> None:
        harness = Harness(lambda _: routes.alive())
        for number in range(5):
            harness.ask(SMALL + 1, b"one %d" % number)
        harness.ask(SMALL + 1, b"other", OTHER)
        await harness.until(6)
        assert harness.answered.index(b"other") <= 2

    run(test)


def test_scheduler_expensive_small_requests_share_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        turns = 0

        def answer(asked: Request) -> Reply:
            if asked.client == ONE:
                time.sleep(0.01)
            return routes.alive()

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        harness = Harness(answer)
        counting = asyncio.create_task(count())
        for number in range(30):
            harness.ask(100, b"one %d" % number)
        assert harness.ask(100, b"other", OTHER) is not None
        assert len(harness.answered) < 3
        await harness.until(31)
        counting.cancel()
        assert harness.answered.index(b"other") <= 3
        assert turns > 20
        # The backlog is done.
        await eventually(lambda: harness.ask(100, b"later", OTHER) is None)

    monkeypatch.setattr(request_scheduler, "_ITERATION", 0.005)
    run(test)


@pytest.mark.parametrize("size", [1, SMALL + 1])
def test_scheduler_failing_application_answers_next(size: int) -> None:
    async def test() -> None:
        def answer(asked: Request) -> Reply:
            raise ValueError(asked.path)

        harness = Harness(answer)
        for number in range(3):
            harness.ask(size, b"%d" % number)
        await harness.until(3)

    run(test)


def test_scheduler_cancelled_large_request_not_answered() -> None:
    async def test() -> None:
        go = threading.Event()

        def answer(_: Request) -> Reply:
            assert go.wait(10)
            return routes.alive()

        harness = Harness(answer)
        harness.ask(SMALL + 1, b"first")
        waiting = harness.ask(SMALL + 1, b"second")
        assert waiting is not None
        waiting.cancel()
        harness.ask(SMALL + 1, b"third")
        go.set()
        await harness.until(2)
        assert harness.answered == [b"first", b"third"]
        assert b"second" not in harness.threads

    run(test)


def test_scheduler_starts_threads_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError

        harness = Harness(lambda _: routes.alive())
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            harness.ask(SMALL + 1, b"medium")
            harness.ask(MEDIUM + 1, b"large")
        await harness.until(2)

    run(test)
