"""Decides when a whole request is answered, so that neither an expensive one nor one client delays all others.

Small requests are answered on the event loop: at once, as long as they take little time between two iterations of it,
otherwise in turn. Larger ones are answered in threads, one at a time in each, while the loop goes on: a review of as
many containers as fit into an API server's request takes seconds. In each of these queues the next request is the
smallest of the client that has used the least time. A client is an address: however many connections it opens, it gets
one share. An API server is one client for all tenants: the share of a client is divided between namespaces.
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

from webhook.admission import review
from webhook.server import routes
from webhook.server.routes import Reply, Request
from webhook.server.wsgi import Application

#: Bytes of a body that is answered on the event loop. A usual review has 5 KiB; the most expensive one of this size
#: takes some 7 ms.
SMALL = 16 * 1024
#: Bytes of a body up to which it is answered in the first thread; larger ones, in the second, cannot delay it.
MEDIUM = 512 * 1024
#: Seconds of requests that are answered in one iteration of the event loop: 50 or more of the usual ones.
_ITERATION = 0.005
#: Parts of a share that had requests, and are remembered at least: who comes one by one gets no more than others.
_MAX_SHARES = 100
#: Received by the main thread alone.
SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})

_log = logging.getLogger("webhook.server")


class _Share:
    """A share of the time, which is divided equally between those of its parts that have requests."""

    __slots__ = ("_now", "_parts", "requests", "used", "waiting")

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, PendingRequest]] = []
        self.waiting = 0
        """Requests in this share and its parts."""
        self.used = 0.0
        """Seconds, in comparison with other parts of the same share."""
        self._parts: dict[str | bytes, _Share] = {}
        self._now = 0.0  # used by the part that was served last: a new one has no credit for the time before

    def part(self, key: str | bytes) -> "_Share":
        """Return the part that a request is to be added to."""
        if key not in self._parts and len(self._parts) > 2 * self.waiting + _MAX_SHARES:
            self._parts = {key: part for key, part in self._parts.items() if part.waiting}
        part = self._parts.setdefault(key, _Share())
        if not part.waiting:
            part.used = max(part.used, self._now)
        return part

    def next(self) -> "_Share":
        """Return the part that has requests and has used the least time."""
        part = min([part for part in self._parts.values() if part.waiting], key=_USED)
        self._now = part.used
        return part


_USED = attrgetter("used")


class PendingRequest:
    """A request in a queue."""

    __slots__ = ("_entry", "_shares", "answered", "request")

    def __init__(
        self, request: Request, answered: Callable[[Reply], None], number: int, shares: tuple[_Share, ...]
    ) -> None:
        """Add a request, and what is called with its reply, to shares, of which each is a part of the one before."""
        self._entry = len(request.body), number, self
        self._shares = shares
        self.request: Request | None = request
        self.answered = answered
        heapq.heappush(shares[-1].requests, self._entry)
        self._count(1)

    def cancel(self) -> None:
        """Free the request, and leave the queue: its answer is not needed."""
        self.request = None
        requests = self._shares[-1].requests
        if self._entry in requests:
            requests.remove(self._entry)
            heapq.heapify(requests)
            self._count(-1)

    def take(self) -> None:
        """Leave the queue as the next request of its share."""
        heapq.heappop(self._shares[-1].requests)
        self._count(-1)

    def charge(self, seconds: float) -> None:
        """Count the time that the request has taken."""
        for share in self._shares:
            share.used += seconds

    def _count(self, change: int) -> None:
        for share in self._shares:
            share.waiting += change


class FairQueue:
    """Requests by client and namespace; fair queueing by the time that the requests of each have taken."""

    def __init__(self) -> None:
        """Begin empty."""
        self._all = _Share()
        self._numbers = count()

    def put(self, request: Request, answered: Callable[[Reply], None]) -> PendingRequest:
        """Add a request."""
        client = self._all.part(request.client)
        shares = self._all, client, client.part(review.namespace(request.body))
        return PendingRequest(request, answered, next(self._numbers), shares)

    def get(self) -> tuple[PendingRequest, Request] | None:
        """Remove and return the next request."""
        if not self._all.waiting:
            self._all = _Share()
            return None
        _, _, waiting = self._all.next().next().requests[0]
        waiting.take()
        return waiting, cast("Request", waiting.request)


class RequestScheduler:
    """Answers the requests of one port's connections."""

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        """Take what answers a request; it is called from several threads."""
        self._application = application
        self._loop = loop
        self._small = FairQueue()
        self._busy = 0.0
        self._medium, self._large = (_Thread(self._reply, loop, name) for name in ("medium", "large"))

    def answer(self, request: Request, answered: Callable[[Reply], None]) -> Reply | PendingRequest:
        """Answer a request at once, or return the place where it waits; `answered` is called with its reply."""
        size = len(request.body)
        if size > SMALL:
            return (self._medium if size <= MEDIUM else self._large).put(request, answered)
        if self._busy >= _ITERATION:
            return self._small.put(request, answered)
        began = perf_counter()
        reply = self._reply(request)
        self._busy += perf_counter() - began
        if self._busy >= _ITERATION:
            self._loop.call_soon(self._next_iteration)
        return reply

    def _next_iteration(self) -> None:
        """Answer requests that wait; while there are more of them, new ones wait too."""
        end = perf_counter() + _ITERATION
        while (now := perf_counter()) < end:
            found = self._small.get()
            if found is None:
                self._busy = 0.0
                return
            waiting, request = found
            self._loop.call_soon(waiting.answered, self._reply(request))
            waiting.charge(perf_counter() - now)
        self._loop.call_soon(self._next_iteration)

    def _reply(self, request: Request) -> Reply:
        try:
            return self._application(request)
        except Exception:  # noqa: BLE001 - whatever it is, the client waits for an answer
            _log.exception("a request could not be answered")
            return routes.FAILED


class _Thread:
    """Answers requests one at a time in a thread."""

    def __init__(self, reply: Callable[[Request], Reply], loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._reply = reply
        self._loop = loop
        self._executor = background_executor(name)
        self._queue = FairQueue()
        self._is_busy = False

    def put(self, request: Request, answered: Callable[[Reply], None]) -> PendingRequest:
        waiting = self._queue.put(request, answered)
        if not self._is_busy:
            self._begin()
        return waiting

    def _begin(self) -> None:
        found = self._queue.get()
        self._is_busy = found is not None
        if found is not None:
            waiting, request = found
            future = self._loop.run_in_executor(self._executor, self._reply, request)
            future.add_done_callback(partial(self._end, waiting, perf_counter()))

    def _end(self, waiting: PendingRequest, began: float, done: "asyncio.Future[Reply]") -> None:
        waiting.charge(perf_counter() - began)
        self._begin()
        waiting.answered(done.result())


def background_executor(name: str) -> ThreadPoolExecutor:
    """Create an executor of one thread that receives no signal: one that it took would end the process.

    It is started here. A thread that could not be started later, for want of memory, would leave its queue unanswered.
    """
    executor = ThreadPoolExecutor(1, name)
    executor.submit(signal.pthread_sigmask, signal.SIG_BLOCK, SIGNALS).result()
    return executor
