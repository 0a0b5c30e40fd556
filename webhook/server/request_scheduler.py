"""Decides when a complete request is answered, so that neither an expensive request nor one client delays all others.

Small requests are answered on the event loop: at once as long as they take little time in an iteration of the loop,
from a queue otherwise. Larger ones are answered in two threads, one at a time in each: a review of as many containers
as fit into an API server's request takes seconds. Each queue is fair: the next request is the smallest one of the
client that has used the least time. A client is an address, however many connections it has. An API server is one
client for all tenants, so a client's share is divided between namespaces.
"""

import asyncio
import heapq
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from operator import attrgetter
from time import perf_counter
from typing import cast

from webhook import log
from webhook.admission import review
from webhook.admission.decision_cache import LONGEST_BODY
from webhook.server import routes
from webhook.server.applications import Application
from webhook.server.routes import Reply, Request

#: Bytes of the largest body that is answered on the event loop. A usual review has 5 KiB. The most expensive one of
#: this size takes some 7 ms. Only decisions on bodies up to this size are cached, and the cache has no lock.
SMALL = LONGEST_BODY
#: Bytes of the largest body that is answered in the first thread. Larger ones are answered in the second.
MEDIUM = 512 * 1024
#: Seconds of an iteration of the event loop in which requests are answered: enough for 50 or more usual ones.
_ITERATION = 0.005
#: A share with at most this many parts remembers those without requests, so that a client that sends requests one by
#: one gets no more time than others.
_MAX_SHARES = 100
#: Signals that only the main thread receives.
SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})

_log = logging.getLogger("webhook.server")


class _Share:
    """A share of the time, divided equally between those of its parts that have requests."""

    __slots__ = ("_now", "_parts", "requests", "used", "waiting")

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, PendingRequest]] = []
        self.waiting = 0
        """The number of requests in this share and its parts."""
        self.used = 0.0
        """Seconds, for comparison with other parts of the same share."""
        self._parts: dict[str | bytes, _Share] = {}
        self._now = 0.0  # `used` of the part that was served last: a new part gets no credit for the time before

    def part(self, key: str | bytes) -> "_Share":
        """Return a part, which is added if it is new."""
        if key not in self._parts and len(self._parts) > 2 * self.waiting + _MAX_SHARES:
            self._parts = {key: part for key, part in self._parts.items() if part.waiting}
        part = self._parts.setdefault(key, _Share())
        if not part.waiting:
            part.used = max(part.used, self._now)
        return part

    def next(self) -> "_Share":
        """Return the part that has used the least time, of those with requests."""
        part = min([part for part in self._parts.values() if part.waiting], key=_USED)
        self._now = part.used
        return part


_USED = attrgetter("used")


class PendingRequest:
    """A request in a queue. Of `shares`, each is a part of the one before."""

    __slots__ = ("_entry", "_shares", "on_answer", "request")

    def __init__(
        self, request: Request, on_answer: Callable[[Reply], None], number: int, shares: tuple[_Share, ...]
    ) -> None:
        self._entry = len(request.body), number, self
        self._shares = shares
        self.request: Request | None = request
        self.on_answer = on_answer
        heapq.heappush(shares[-1].requests, self._entry)
        self._count(1)

    def cancel(self) -> None:
        """Free the request and leave the queue."""
        self.request = None
        requests = self._shares[-1].requests
        if self._entry in requests:
            requests.remove(self._entry)
            heapq.heapify(requests)
            self._count(-1)

    def take(self) -> None:
        """Leave the queue; only for the next request of its share."""
        heapq.heappop(self._shares[-1].requests)
        self._count(-1)

    def charge(self, seconds: float) -> None:
        """Charge its shares for the time that it took to answer."""
        for share in self._shares:
            share.used += seconds

    def _count(self, change: int) -> None:
        for share in self._shares:
            share.waiting += change


class FairQueue:
    """Requests by client and namespace, served in the order of the least time used."""

    def __init__(self) -> None:
        self._all = _Share()
        self._numbers = count()

    def put(self, request: Request, on_answer: Callable[[Reply], None]) -> PendingRequest:
        client = self._all.part(request.client)
        shares = self._all, client, client.part(review.namespace(request.body))
        return PendingRequest(request, on_answer, next(self._numbers), shares)

    def get(self) -> tuple[PendingRequest, Request] | None:
        """Remove and return the next request."""
        if not self._all.waiting:
            self._all = _Share()
            return None
        _, _, pending = self._all.next().next().requests[0]
        pending.take()
        return pending, cast("Request", pending.request)


class RequestScheduler:
    """Answers the requests of one port's connections; calls `application` in several threads."""

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        self._application = application
        self._loop = loop
        self._small = FairQueue()
        self._spent = 0.0  # seconds of this iteration of the loop in which requests were answered
        self._medium, self._large = (_Thread(self._reply, loop, name) for name in ("medium", "large"))

    def answer(self, request: Request, on_answer: Callable[[Reply], None]) -> Reply | PendingRequest:
        """Answer a request at once, or return the pending request and call `on_answer` with the reply later."""
        size = len(request.body)
        if size > SMALL:
            return (self._medium if size <= MEDIUM else self._large).put(request, on_answer)
        if self._spent >= _ITERATION:
            return self._small.put(request, on_answer)
        began = perf_counter()
        reply = self._reply(request)
        self._spent += perf_counter() - began
        if self._spent >= _ITERATION:
            self._loop.call_soon(self._next_iteration)
        return reply

    def _next_iteration(self) -> None:
        """Answer pending requests. New ones are queued behind them until there are none."""
        end = perf_counter() + _ITERATION
        while (now := perf_counter()) < end:
            found = self._small.get()
            if found is None:
                self._spent = 0.0
                return
            pending, request = found
            self._loop.call_soon(pending.on_answer, self._reply(request))
            pending.charge(perf_counter() - now)
        self._loop.call_soon(self._next_iteration)

    def _reply(self, request: Request) -> Reply:
        try:
            return self._application(request)
        except Exception as error:  # noqa: BLE001 - the client waits for an answer
            _log.error(log.event("answering a request failed", error=log.location(error)))
            return routes.FAILED


class _Thread:
    """Answers requests one at a time in a thread."""

    def __init__(self, reply: Callable[[Request], Reply], loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._reply = reply
        self._loop = loop
        self._executor = background_executor(name)
        self._queue = FairQueue()
        self._is_busy = False

    def put(self, request: Request, on_answer: Callable[[Reply], None]) -> PendingRequest:
        pending = self._queue.put(request, on_answer)
        if not self._is_busy:
            self._begin()
        return pending

    def _begin(self) -> None:
        found = self._queue.get()
        self._is_busy = found is not None
        if found is not None:
            pending, request = found
            future = self._loop.run_in_executor(self._executor, self._reply, request)
            future.add_done_callback(partial(self._end, pending, perf_counter()))

    def _end(self, pending: PendingRequest, began: float, done: "asyncio.Future[Reply]") -> None:
        pending.charge(perf_counter() - began)
        self._begin()
        pending.on_answer(done.result())


def background_executor(name: str) -> ThreadPoolExecutor:
    """Create an executor of one thread that receives no signals: a signal handled there would end the process.

    The thread is started here. If it could not be started later, for lack of memory, its queue would never be answered.
    """
    executor = ThreadPoolExecutor(1, name)
    executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, SIGNALS).result()
    return executor
