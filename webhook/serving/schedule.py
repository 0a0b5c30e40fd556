"""Decides when a whole request is answered, so that neither an expensive one nor one client delays all others.

Small requests are answered on the event loop: at once, as long as they take little time between two iterations of it,
otherwise in turn. Larger ones are answered in threads, one at a time in each, while the loop goes on: a review of as
many containers as fit into an API server's request takes seconds. In each of these queues the next request is the
smallest of the client that has used the least time. A client is an address: however many connections it opens, it gets
one share. An API server is one client for all tenants, which is why the order within a client counts too.
"""

import asyncio
import heapq
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from time import perf_counter

from webhook.serving import endpoint
from webhook.serving.door import Application
from webhook.serving.endpoint import Reply, Request

#: Bytes of a body that is answered on the event loop. A usual review has 5 KiB; the most expensive one of this size
#: takes some 7 ms.
SMALL = 16 * 1024
#: Bytes of a body up to which it is answered in the first thread; larger ones, in the second, cannot delay it.
MEDIUM = 512 * 1024
#: Seconds of requests that are answered in one iteration of the event loop: 50 or more of the usual ones.
_ITERATION = 0.005
#: Received by the main thread alone.
SIGNALS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})

_log = logging.getLogger("webhook.serving")


class Waiting:
    """A request in a queue."""

    __slots__ = ("answered", "request")

    def __init__(self, request: Request, answered: Callable[[Reply], None]) -> None:
        """Take the request, and what is called with its reply."""
        self.request: Request | None = request
        self.answered = answered

    def cancel(self) -> None:
        """Free the request: its answer is not needed."""
        self.request = None


class _Client:
    """The requests of one client, smallest first."""

    __slots__ = ("requests", "used")

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, Waiting]] = []
        self.used = 0.0
        """Seconds, in comparison with the other clients in the queue."""


class Queue:
    """Requests by client; fair queueing by the time that each client's requests have taken."""

    def __init__(self) -> None:
        """Begin empty."""
        self._clients: dict[str, _Client] = {}
        self._used = 0.0  # by the client that was served last: a new one has no credit for the time before
        self._numbers = count()

    def put(self, request: Request, answered: Callable[[Reply], None]) -> Waiting:
        """Add a request."""
        waiting = Waiting(request, answered)
        client = self._clients.setdefault(request.client, _Client())
        if not client.requests:
            client.used = max(client.used, self._used)
        heapq.heappush(client.requests, (len(request.body), next(self._numbers), waiting))
        return waiting

    def get(self) -> tuple[Waiting, Request] | None:
        """Remove and return the next request that is still wanted."""
        while waited_for := [client for client in self._clients.values() if client.requests]:
            client = min(waited_for, key=lambda client: client.used)
            _, _, waiting = heapq.heappop(client.requests)
            if waiting.request is not None:
                self._used = client.used
                return waiting, waiting.request
        self._clients.clear()
        return None

    def charge(self, client: str, seconds: float) -> None:
        """Count the time that a client's request has taken."""
        if client in self._clients:
            self._clients[client].used += seconds


class Schedule:
    """Answers the requests of one port's connections."""

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop) -> None:
        """Take what answers a request; it is called from several threads."""
        self._application = application
        self._loop = loop
        self._small = Queue()
        self._busy = 0.0
        self._medium, self._large = (_Thread(self._reply, loop, name) for name in ("medium", "large"))

    def answer(self, request: Request, answered: Callable[[Reply], None]) -> Reply | Waiting:
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
            self._small.charge(request.client, perf_counter() - now)
        self._loop.call_soon(self._next_iteration)

    def _reply(self, request: Request) -> Reply:
        try:
            return self._application(request)
        except Exception:  # noqa: BLE001 - whatever it is, the client waits for an answer
            _log.exception("a request could not be answered")
            return endpoint.FAILED


class _Thread:
    """Answers requests one at a time in a thread."""

    def __init__(self, reply: Callable[[Request], Reply], loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._reply = reply
        self._loop = loop
        self._executor = background(name)
        self._queue = Queue()
        self._is_busy = False

    def put(self, request: Request, answered: Callable[[Reply], None]) -> Waiting:
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
            future.add_done_callback(partial(self._end, waiting, request.client, perf_counter()))

    def _end(self, waiting: Waiting, client: str, began: float, done: "asyncio.Future[Reply]") -> None:
        self._queue.charge(client, perf_counter() - began)
        self._begin()
        waiting.answered(done.result())


def background(name: str) -> ThreadPoolExecutor:
    """Create an executor of one thread that receives no signal: one that it took would end the process."""
    return ThreadPoolExecutor(1, name, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS))
