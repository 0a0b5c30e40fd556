"""Slow and greedy clients, in a program of its own, so that well-behaved clients are not slowed down.

`with hostile(server, {Kind.HALF: 1000}, again=1.0) as clients: ...; clients.end()` returns their results.
"""

import asyncio
import itertools
import json
import random
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.server_process import Server
from webhook.admission import review
from webhook.server import http1

_HEAD = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
#: Seconds after a connection's time is over by which it must have been closed, on a machine that is busy.
_SLACK = 5.0


class Kind(StrEnum):
    """What a client does on a connection."""

    SILENT = "silent"
    """Nothing, not even a TLS handshake."""
    IDLE = "idle after its handshake"
    HALF = "half a header"
    DRIPPING = "a body at a byte a second"
    DEAF = "reads no answer"
    BULKY = "half a body of 8 MB"
    PIPELINING = "as many requests as go out"
    HANDSHAKING = "a handshake, and again"
    GARBAGE = "bytes that are no HTTP"
    LEAVING = "half a request, and gone"
    PLAIN = "half a header to the plain port"
    COSTLY = "reviews of 192 KiB with 9,900 images"
    COSTLIEST = "reviews of 2 MiB with 110,000 images"
    ALMOST = "reviews of as many images as are answered on the event loop"
    MISFIT = "reviews of 15 KiB that are read piece by piece"
    DEPENDENT = "reviews of 16 KiB whose images all fall under a rule"
    TRICKLING = "reviews with many images, in small pieces"
    DEPARTING = "reviews of 2 MiB, and gone"


class Fate(NamedTuple):
    """What became of the connections of one kind."""

    made: int
    """How many began."""
    closed: int
    """How many the server has closed."""
    longest: float
    """Seconds that one of these was kept at the most."""
    answered: int
    """Requests that were answered, where they are counted."""
    kept: int
    """How many were not closed when their time was over."""

    def __str__(self) -> str:
        """Say it."""
        answered = f", {self.answered} requests answered" if self.answered else ""
        return f"{self.made} connections, {self.closed} closed, the longest after {self.longest:.1f} s{answered}"


class Clients:
    """Clients that are at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def end(self) -> dict[Kind, Fate]:
        """End them, and give what became of those that had begun."""
        output, _ = self.process.communicate("", timeout=30)
        return {Kind(kind): Fate(*fate) for kind, fate in json.loads(output).items()}


@contextmanager
def hostile(server: Server, numbers: Mapping[Kind, int], *, again: float) -> Iterator[Clients]:
    """Have so many clients of each kind at work; one that is closed comes again some `again` seconds later.

    They do not come all at once: they are slow, and no flood.
    """
    assert server.plain_address is not None
    authority = server.place.folder / "hostile-ca.crt"
    authority.write_bytes(server.place.ours.certificate)
    words = [str(server.secure[1]), str(server.plain_address[1]), str(authority), json.dumps(numbers), str(again)]
    command = [sys.executable, "-m", "tests.endure.hostile", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Clients(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class _Wire:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answered = 0

    async def send(self, sent: bytes) -> None:
        self.writer.write(sent)
        await self.writer.drain()

    async def closed(self) -> None:
        """Wait until the server has closed it, and count the answers that come before."""
        with suppress(OSError):
            while received := await self.reader.read(256 * 1024):
                self.answered += received.count(b"HTTP/1.1 200 ")

    async def hold(self, sent: bytes) -> None:
        """Send something, and wait."""
        await self.send(sent)
        await self.closed()


async def _drip(wire: _Wire) -> None:
    await wire.send(_HEAD + b"Content-Length: 1000\r\n\r\n")
    closing = asyncio.create_task(wire.closed())
    while not (await asyncio.wait([closing], timeout=1.0))[0]:
        await wire.send(b" ")


async def _be_deaf(wire: _Wire) -> None:
    await wire.send(_LONG * 8)
    await asyncio.sleep(http1.REQUEST_TIMEOUT + _SLACK / 2)
    await wire.closed()


async def _pipeline(wire: _Wire) -> None:
    closing = asyncio.create_task(wire.closed())
    while not closing.done():
        await wire.send(_MANY)


def _again(*messages: bytes) -> Callable[[_Wire], Awaitable[None]]:
    """Send requests one after the other, and read each answer."""

    async def send(wire: _Wire) -> None:
        for message in itertools.cycle(messages):
            await wire.send(message)
            head = await wire.reader.readuntil(b"\r\n\r\n")
            await wire.reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
            wire.answered += head.startswith(b"HTTP/1.1 200 ")

    return send


async def _trickle(wire: _Wire) -> None:
    (message,) = _reviews("a{}", 2000, 1)
    for at in range(0, len(message), 1024):
        await wire.send(message[at : at + 1024])
        await asyncio.sleep(0.02)
    await wire.reader.readuntil(b"\r\n\r\n")


async def _depart(wire: _Wire) -> None:
    await wire.send(_COSTLIEST[0])
    await asyncio.sleep(0.1)


def _reviews(image: str, images: int, distinct: int, misfit: tuple[Any, ...] = ()) -> list[bytes]:
    """Make requests with so many images, in each of which all are different ones."""
    made = []
    for number in range(distinct):
        containers = [*misfit, *({"image": image.format(f"{number}a{each}")} for each in range(images))]
        body = review.encode_review({"spec": {"containers": containers}}, dryRun=False)
        made.append(_HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return made


async def _leave(wire: _Wire) -> None:
    await wire.send(_MANY[: len(_MANY) // 2])
    wire.writer.transport.abort()


def _usual(number: int) -> bytes:
    containers = [{"name": name, "image": f"team/{name}:{number}"} for name in ("app", "proxy", "logs")]
    pod = {"metadata": {"name": f"pod-{number}"}, "spec": {"containers": containers}}
    body = review.encode_review(pod, uid=str(number), dryRun=False)
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _long() -> bytes:
    """Give a request that is small enough to be known again, and whose answer is not."""
    body = review.encode_review({"metadata": {}, "spec": {"containers": [{"name": "a", "image": "a"}] * 600}})
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


_MANY = b"".join(map(_usual, range(100)))
_LONG = _long()
_COSTLIEST = _reviews("{}", 110_000, 2)
_BULKY = _HEAD + b"Content-Length: 8000000\r\n\r\n" + b" " * 4_000_000

_DOES: dict[Kind, Callable[[_Wire], Awaitable[None]]] = {
    Kind.SILENT: _Wire.closed,
    Kind.IDLE: _Wire.closed,
    Kind.HALF: lambda wire: wire.hold(_HEAD),
    Kind.DRIPPING: _drip,
    Kind.DEAF: _be_deaf,
    Kind.BULKY: lambda wire: wire.hold(_BULKY),
    Kind.PIPELINING: _pipeline,
    Kind.HANDSHAKING: lambda wire: wire.send(b""),
    Kind.GARBAGE: lambda wire: wire.hold(b"\x00\xff nonsense\r\n\r\n" * 50),
    Kind.LEAVING: _leave,
    Kind.PLAIN: lambda wire: wire.hold(_GET[:-2]),
    Kind.COSTLY: _again(*_reviews("{}", 9_900, 3)),
    Kind.COSTLIEST: _again(*_COSTLIEST),
    Kind.ALMOST: _again(*_reviews("{}", 750, 3)),
    Kind.MISFIT: _again(*_reviews("{}", 750, 3, misfit=(1,))),
    Kind.DEPENDENT: _again(*_reviews("quay.io/{}", 550, 100)),
    Kind.TRICKLING: _trickle,
    Kind.DEPARTING: _depart,
}


class _Tally:
    """What has become of the connections of a kind so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.longest = 0.0
        self.open: dict[_Wire, float] = {}  # when each began

    def fate(self, now: float) -> Fate:
        late = sum(now - began > http1.REQUEST_TIMEOUT + _SLACK for began in self.open.values())
        answered = self.counts["answered"] + sum(wire.answered for wire in self.open)
        return Fate(self.counts["made"], self.counts["closed"], self.longest, answered, late)


class _Program:
    """All clients of one run."""

    def __init__(self, secure: int, plain: int, trust: ssl.SSLContext, again: float) -> None:
        self._secure = secure
        self._plain = plain
        self._trust = trust
        self._again = again
        self._dice = random.Random(7)  # noqa: S311 - nothing is kept secret by it
        self._tallies = {kind: _Tally() for kind in Kind}

    async def run(self, numbers: Mapping[Kind, int]) -> dict[str, Any]:
        """Go on until standard input ends."""
        tasks = [asyncio.create_task(self._client(kind)) for kind, number in numbers.items() for _ in range(number)]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        now = time.monotonic()
        fates = {kind: self._tallies[kind].fate(now) for kind in numbers}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=10)
        return {str(kind): fate for kind, fate in fates.items()}

    async def _client(self, kind: Kind) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(0, 2 * self._again))
            with suppress(OSError):
                await self._once(kind)

    async def _once(self, kind: Kind) -> None:
        tally = self._tallies[kind]
        began = time.monotonic()
        wire = await self._connect(kind)
        tally.counts["made"] += 1
        tally.open[wire] = began
        try:
            await _DOES[kind](wire)
            tally.counts["closed"] += 1
        except (OSError, EOFError):
            tally.counts["closed"] += 1
        finally:
            del tally.open[wire]
            if kind is not Kind.PIPELINING:
                tally.longest = max(tally.longest, time.monotonic() - began)
            tally.counts["answered"] += wire.answered
            wire.writer.transport.abort()

    async def _connect(self, kind: Kind) -> _Wire:
        raw = socket.socket()
        raw.setblocking(False)
        how: dict[str, Any] = {}
        if kind is Kind.DEAF:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            how["limit"] = 1  # what comes is not even taken from the kernel
        if kind not in {Kind.SILENT, Kind.PLAIN}:
            how |= {"ssl": self._trust, "server_hostname": "localhost"}
        port = self._plain if kind is Kind.PLAIN else self._secure
        try:
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
            return _Wire(*await asyncio.open_connection(sock=raw, **how))
        except BaseException:
            raw.close()
            raise


def _main() -> None:
    secure, plain, authority, numbers, again = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    trust = ssl.create_default_context(cadata=Path(authority).read_text())
    program = _Program(int(secure), int(plain), trust, float(again))
    done = asyncio.run(program.run({Kind(kind): number for kind, number in json.loads(numbers).items()}))
    print(json.dumps(done))  # noqa: T201 - for who started this


if __name__ == "__main__":
    _main()
