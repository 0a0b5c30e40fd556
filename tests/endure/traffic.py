"""Well-behaved traffic, as an API server sends it, and what came of every single request.

A request is due at its time whether or not earlier ones are answered (an open loop), and what is timed begins there,
not where it could be sent: a server that stalls is not spared.

Connections are kept as Go's net/http does it with client-go's settings: the one that was used last is taken first, up
to 25 are kept, one that nobody used for 90 s is closed, and so is one whose answer says `Connection: close`.

No request is sent twice, except where Go's transport would do so with a POST whose body it can read again
(`shouldRetryRequest` in net/http/transport.go): the connection was used before, and is found closed before a byte of
this request was written. Then another one is taken, as often as there are kept ones. Where a byte was written, an
end of the connection is an error: a POST is not idempotent (`isReplayable` in net/http/request.go), and neither
client-go nor the API server's webhook code sends it again. A connection that was made for this request has no second
chance either, nor has one that could not be made.
"""

import asyncio
import json
import math
import ssl
import threading
import time
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from webhook.admission import review
from webhook.constants import ORIGINALS_ANNOTATION

#: Seconds from when a request is due until its answer must be there: timeoutSeconds in manifests/base/60-webhook.yaml.
PATIENCE = 5.0
#: What client-go sets as `MaxIdleConnsPerHost` and `IdleConnTimeout`.
_KEPT, _KEPT_FOR = 25, 90.0

_IMAGES = {"app": "nginx:1.29", "proxy": "team/proxy:7"}
_HEAD = (
    "POST /mutate?timeout=5s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\n"
    "Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\n\r\n"
)


class Outcome(NamedTuple):
    """What a configuration makes of the Pods that are sent."""

    server: str = "registry.example.com"
    pull_secret: str = "registry-webhook-pull"  # noqa: S105 - its name

    @property
    def patch(self) -> list[dict[str, Any]]:
        """The patch, as RFC 6902 has it."""
        images = [f"{self.server}/{image}" for image in _IMAGES.values()]
        originals = {ORIGINALS_ANNOTATION: json.dumps(_IMAGES, separators=(",", ":"))}
        return [
            *(
                {"op": "replace", "path": f"/spec/containers/{index}/image", "value": image}
                for index, image in enumerate(images)
            ),
            {"op": "add", "path": "/metadata/annotations", "value": originals},
            {"op": "add", "path": "/spec/imagePullSecrets", "value": [{"name": self.pull_secret}]},
        ]


class Answer(NamedTuple):
    """A request that was answered rightly. Moments are on the monotonic clock."""

    due: float
    sent: float
    """When its first byte was written."""
    ended: float
    outcome: Outcome
    connection: int
    """Which connection it was, counted from when it was made."""
    certificate: str
    """The serial number of the certificate that the connection began with."""

    @property
    def latency(self) -> float:
        """Seconds from when it was due."""
        return self.ended - self.due


class Failure(NamedTuple):
    """A request that was not answered, or wrongly."""

    due: float
    sent: float | None
    """When its first byte was written; None where it came to none."""
    ended: float
    what: str
    """How far it had come, and what happened then."""
    certificate: str | None
    """As in an answer; None where there was no connection."""


class Result(NamedTuple):
    """What came of the requests so far."""

    answers: tuple[Answer, ...]
    failures: tuple[Failure, ...]
    connections: int
    """How many were made."""

    @property
    def slowest(self) -> float:
        """The longest time from when a request was due to its answer, seconds."""
        return max((answer.latency for answer in self.answers), default=0.0)

    def percentile(self, percent: float) -> float:
        """Give the time within which so many of a hundred answers came, seconds."""
        ordered = sorted(answer.latency for answer in self.answers)
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0

    def since(self, moment: float) -> "Result":
        """Give what was due from a moment of the monotonic clock on; connections are counted as before."""
        return self.between(moment, math.inf)

    def between(self, begin: float, end: float) -> "Result":
        """Give what was due from one moment to another, in the same way."""
        answers = tuple(answer for answer in self.answers if begin <= answer.due < end)
        failures = tuple(failure for failure in self.failures if begin <= failure.due < end)
        return Result(answers, failures, self.connections)

    def none_failed(self) -> "Result":
        """Fail unless there were requests, and each was answered rightly."""
        assert self.answers, str(self)
        assert not self.failures, str(self)
        return self

    def __str__(self) -> str:
        """Say how many there were, what failed, and how fast the others were."""
        number = len(self.answers) + len(self.failures)
        failed = Counter(failure.what for failure in self.failures)
        faults = "; ".join(f"{times} × {what}" for what, times in failed.most_common()) or "none failed"
        half, most, slowest = (1000 * seconds for seconds in (self.percentile(50), self.percentile(99), self.slowest))
        return (
            f"{len(self.answers)} of {number} requests answered over {self.connections} connections, {faults};"
            f" p50 {half:.1f} ms, p99 {most:.1f} ms, the slowest {slowest:.0f} ms"
        )


class _Failed(Exception):
    """What is wrong with an answer."""


class _Connection:
    """One connection, and whether it can be used."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, certificate: str
    ) -> None:
        self.number = number
        self.certificate = certificate
        self.since = 0.0  # when it was last used
        self._reader = reader
        self._writer = writer

    @property
    def is_closed(self) -> bool:
        """Whether the server has closed it, or said something that nobody asked for."""
        unasked = self._reader._buffer  # type: ignore[attr-defined]  # noqa: SLF001 - it has no public name
        is_over = self._reader.at_eof() or self._reader.exception() is not None
        return bool(unasked) or is_over or self._writer.is_closing()

    def write(self, content: bytes) -> None:
        self._writer.write(content)

    async def first(self) -> bytes:
        """Wait for the first byte of an answer."""
        return await self._reader.readexactly(1)

    async def head(self, first: bytes) -> tuple[int, dict[str, str]]:
        """Read the rest of the head, and give the status and the headers, their names in lower case."""
        raw = first + await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        headers = (line.partition(":") for line in lines)
        return int(status.split(" ")[1]), {name.lower(): value.strip() for name, _, value in headers}

    async def body(self, length: int) -> bytes:
        """Read a body."""
        return await self._reader.readexactly(length)

    def close(self) -> None:
        """Close without waiting for the other side."""
        with suppress(OSError):
            self._writer.close()


class Traffic:
    """Requests that go on being sent."""

    def __init__(  # noqa: PLR0913 - each is named where it is called
        self,
        address: tuple[str, int],
        trust: ssl.SSLContext,
        *,
        rate: float,
        together: int,
        fresh: float,
        outcomes: tuple[Outcome, ...],
    ) -> None:
        """Take what `traffic` does."""
        self._address = address
        self._trust = trust
        self._pause = together / rate
        self._together = together
        self._fresh = fresh
        self._patches = tuple((outcome, outcome.patch) for outcome in outcomes)
        self._kept: deque[_Connection] = deque()
        self._made = 0
        self._answers: list[Answer] = []
        self._failures: list[Failure] = []
        self._is_stopped = threading.Event()

    def result(self) -> Result:
        """Give what came of the requests so far."""
        return Result(tuple(self._answers), tuple(self._failures), self._made)

    def end(self) -> None:
        """Have no further request sent; those that are under way are waited for."""
        self._is_stopped.set()

    async def run(self) -> None:
        """Send requests until told to stop."""
        async with asyncio.TaskGroup() as group:
            began = asyncio.get_running_loop().time()
            for turn, due in enumerate(_moments(began, self._pause)):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self._is_stopped.is_set():
                    break
                for number in range(turn * self._together, (turn + 1) * self._together):
                    group.create_task(self._send(number, due))
        while self._kept:
            self._kept.pop().close()
        await asyncio.sleep(0.1)  # they say goodbye

    async def _send(self, number: int, due: float) -> None:
        """Send one request, and note what came of it."""
        attempt = _Attempt(number, due)
        try:
            async with asyncio.timeout_at(due + PATIENCE):
                outcome = await self._exchange(attempt)
        except (OSError, EOFError, TimeoutError, ValueError, LookupError, _Failed) as error:
            if attempt.connection is not None:
                attempt.connection.close()
            self._failures.append(attempt.failure(error))
        else:
            self._answers.append(attempt.answer(outcome))

    async def _exchange(self, attempt: "_Attempt") -> Outcome:
        is_fresh = math.floor((attempt.number + 1) * self._fresh) > math.floor(attempt.number * self._fresh)
        connection = (None if is_fresh else self._take()) or await self._connect()
        attempt.begins(connection)
        connection.write(request(attempt.number))
        first = await connection.first()
        attempt.stage = "in the answer"
        status, headers = await connection.head(first)
        body = await connection.body(int(headers["content-length"]))
        outcome = self._judge(attempt.number, status, body)
        if is_fresh or headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._keep(connection)
        return outcome

    def _take(self) -> _Connection | None:
        """Take the kept connection that was used last, and see that the server has not closed it."""
        while self._kept:
            connection = self._kept.pop()
            if not connection.is_closed:
                return connection
            connection.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.since = time.monotonic()
        self._kept.append(connection)
        while len(self._kept) > _KEPT or connection.since - self._kept[0].since > _KEPT_FOR:
            self._kept.popleft().close()

    async def _connect(self) -> _Connection:
        reader, writer = await asyncio.open_connection(
            *self._address, ssl=self._trust, server_hostname="localhost", ssl_shutdown_timeout=1.0
        )
        self._made += 1
        certificate: Mapping[str, Any] = writer.get_extra_info("peercert")
        return _Connection(self._made, reader, writer, str(certificate["serialNumber"]))

    def _judge(self, number: int, status: int, body: bytes) -> Outcome:
        """Tell which outcome an answer is. Raises `_Failed` for one that is none."""
        if status != 200:
            raise _Failed(f"status {status}")
        response = json.loads(body)["response"]
        if response["uid"] != _uid(number):
            raise _Failed("the answer to another request")
        patch = json.loads(b64decode(response.get("patch", "W10=")))
        for outcome, right in self._patches:
            if patch == right and response["allowed"] is True:
                return outcome
        raise _Failed(f"a wrong answer: {patch}")


class _Attempt:
    """How far one request has come."""

    def __init__(self, number: int, due: float) -> None:
        self.number = number
        self.stage = "at the connection"
        self.connection: _Connection | None = None
        self._due = due
        self._sent: float | None = None

    def begins(self, connection: _Connection) -> None:
        """Note that it is sent now."""
        self.connection = connection
        self.stage = "before any byte of the answer"
        self._sent = time.monotonic()

    def answer(self, outcome: Outcome) -> Answer:
        assert self.connection is not None
        assert self._sent is not None
        connection = self.connection
        return Answer(self._due, self._sent, time.monotonic(), outcome, connection.number, connection.certificate)

    def failure(self, error: Exception) -> Failure:
        what = str(error) if isinstance(error, _Failed) else f"{_named(error)} {self.stage}"
        certificate = None if self.connection is None else self.connection.certificate
        return Failure(self._due, self._sent, time.monotonic(), what, certificate)


def _named(error: Exception) -> str:
    """Call an error by what happened."""
    match error:
        case ConnectionRefusedError():
            return "refused"
        case ConnectionResetError() | BrokenPipeError():
            return "reset"
        case EOFError():  # asyncio.IncompleteReadError is one
            return "EOF"
        case TimeoutError():
            return f"no answer within {PATIENCE:.0f} s,"
        case ssl.SSLCertVerificationError():
            return f"a certificate that is not trusted ({error.verify_message})"
        case _:
            return f"{type(error).__name__} ({error})"


def _moments(began: float, pause: float) -> Iterator[float]:
    turn = 0
    while True:
        yield began + turn * pause
        turn += 1


def _uid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012}"


def request(number: int) -> bytes:
    """Write the request of that number, head and body: the review of a Pod of two containers."""
    containers = [{"name": name, "image": image} for name, image in _IMAGES.items()]
    pod = {"metadata": {"name": f"pod-{number}", "namespace": "team-a"}, "spec": {"containers": containers}}
    body = review.encode_review(pod, uid=_uid(number), dryRun=False)
    return _HEAD.format(len(body)).encode() + body


@contextmanager
def traffic(  # noqa: PLR0913 - each is named where it is called
    address: tuple[str, int],
    trust: ssl.SSLContext,
    *,
    rate: float = 100.0,
    together: int = 1,
    fresh: float = 0.0,
    outcomes: tuple[Outcome, ...] = (Outcome(),),
) -> Iterator[Traffic]:
    """Send requests from a thread of its own until the block ends; what came of them can be asked after it, too.

    There are `rate` a second, `together` of them due at the same moment, as those of a ReplicaSet's Pods are; the
    `fresh` share of them, from 0 to 1, is sent over connections of their own. An answer must be one of `outcomes`.
    """
    load = Traffic(address, trust, rate=rate, together=together, fresh=fresh, outcomes=outcomes)
    thread = threading.Thread(target=lambda: asyncio.run(load.run()), name="traffic", daemon=True)
    thread.start()
    try:
        yield load
    finally:
        load.end()
        thread.join(timeout=3 * PATIENCE)
        assert not thread.is_alive(), "the traffic does not end"
