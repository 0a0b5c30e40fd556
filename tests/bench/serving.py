"""How fast the server is beside a Go webhook that rewrites and does nothing else: `make bench`.

Both run at once, each on one core and with the load, which one of them gets at a time, on the other: over TLS
connections that are kept, on the same bodies, in turns. Ratios are what counts: they are of one run, and absolute
figures move with the machine and its neighbours. Every answer is compared byte for byte with one that was seen to be
right. It needs Linux, two cores and Go 1.26 or newer, and takes some nine minutes.
"""

import argparse
import http.client
import platform
import ssl
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import bodies
from answers import refuse_wrong
from contenders import Arena, Contender, Exchanges, Figures

REGISTRY = f"opencti: {{daemon: {{registry: {{server: {bodies.SERVER}}}}}}}\n"
SAMPLE = 240


class Case(NamedTuple):
    """A body, and how many connections send it at once."""

    name: str
    body: Callable[[int], bytes]
    connections: int = 8
    variety: int = SAMPLE
    """How many different ones are sent in turn."""
    aim: str = ""
    """The ratio to Go that is wanted."""


_TEMPLATE_KNOWN = Case("usual, 8 connections", bodies.usual, aim="≥ 1.25")
_IMAGES_KNOWN = Case("images known, Pod new", bodies.known, variety=bodies.UNCACHEABLE, aim="≥ 0.9")
_NEVER_SEEN = Case("images never seen", bodies.unseen, variety=bodies.UNCACHEABLE, aim="≥ 0.75")
CASES = (
    _TEMPLATE_KNOWN,
    Case("usual, 32 connections", bodies.usual, connections=32, aim="≥ 1.4"),
    _IMAGES_KNOWN,
    _NEVER_SEEN,
    Case("nothing to do", bodies.nothing, aim="≥ 1.27"),
    Case("big: 300 KB", bodies.big, variety=24, aim="≥ 1.65"),
    Case("UPDATE with the old object", bodies.update, aim="≥ 1.3"),
    Case("small: 1 container", bodies.small),
)
#: What is known of a review before it comes.
STATES = {"template known": _TEMPLATE_KNOWN, "images known, Pod new": _IMAGES_KNOWN, "images never seen": _NEVER_SEEN}


class Pace(NamedTuple):
    """How long all takes: enough for steady figures, or just enough to see that it works."""

    rounds: int
    seconds: float
    open_loop: float
    dripping: float
    endurance: int
    starts: int


_STEADY = Pace(rounds=3, seconds=4, open_loop=60, dripping=6, endurance=500_000, starts=9)
_QUICK = Pace(rounds=1, seconds=0.5, open_loop=2, dripping=2, endurance=5_000, starts=3)


def main() -> None:
    """Measure, and print figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="only see that it works: the figures mean nothing")
    pace = _QUICK if parser.parse_args().quick else _STEADY
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        _introduce(arena)
        with arena.yardstick() as go, arena.product(REGISTRY) as ours:
            _compare(arena, go, ours, pace)
            _open_loop(arena, go, ours, pace)
        with arena.product(REGISTRY) as ours:
            _dripping(arena, ours, pace)
        with arena.product(REGISTRY) as ours:
            _containers(arena, ours, pace)
        _settings(arena, pace)
        _starts(arena, pace)
        with arena.product(REGISTRY) as ours:
            _endure(arena, ours, pace)


def _introduce(arena: Arena) -> None:
    moment = datetime.now(UTC)
    print(f"{moment:%Y-%m-%d}, {arena.go}, GOMAXPROCS=1; Python {platform.python_version()} ({sys.executable})")


def _compare(arena: Arena, go: Contender, ours: Contender, pace: Pace) -> None:
    _title("Requests a second, and how long one takes, in ms", "p50 p99 p99.9 CPU µs errors; Go's after the /")
    _row("", "to Go", "aim", "of rounds", "a second", "p50", "p99", "p99.9", "CPU µs", "errors")
    costs = {}
    for case in CASES:
        made = [case.body(number) for number in range(case.variety)]
        load = ["-connections", str(case.connections), "-duration", f"{pace.seconds}s"]
        theirs, own = _in_turns(arena, [go, ours], made, load, pace.rounds)
        ratios = _ratios(theirs, own)
        _row(case.name, f"{statistics.median(ratios):.2f}", case.aim, _range(ratios), *_columns(theirs, own))
        costs[case.name] = _cost(own), _cost(theirs)
    _row("memory after these, MiB", "", "", "", f"{ours.memory():.0f}/{go.memory():.0f}")
    _title("CPU of a review by what is known before it comes, in µs")
    _row("", "ours", "Go's", "to Go")
    for state, case in STATES.items():
        own_cost, go_cost = costs[case.name]
        _row(state, f"{own_cost:.1f}", f"{go_cost:.1f}", f"{own_cost / go_cost:.2f}")


def _open_loop(arena: Arena, go: Contender, ours: Contender, pace: Pace) -> None:
    made = [bodies.usual(number) for number in range(SAMPLE)]
    load = ["-connections", "64", "-rate", "2000", "-duration", f"{pace.open_loop}s"]
    theirs, own = _in_turns(arena, [go, ours], made, load, 1)
    _title(f"Open loop: 2,000 a second for {pace.open_loop:.0f} s over at most 64 connections")
    _row("", "p99 to Go", "aim", "", "a second", "p50", "p99", "p99.9", "CPU µs", "errors")
    ratio = own[0].p99 / theirs[0].p99
    _row("usual", f"{ratio:.2f}", "≤ 0.8", "", *_columns(theirs, own))


def _dripping(arena: Arena, ours: Contender, pace: Pace) -> None:
    made = [bodies.usual(number) for number in range(SAMPLE)]
    sent = exchanges(arena, ours, made)
    alone, beside = [], []
    for _ in range(pace.rounds):
        load = ["-connections", "8", "-duration", f"{pace.dripping}s"]
        alone.append(arena.load(ours, sent, *load))
        beside.append(arena.load(ours, sent, *load, "-dripping", "12"))
    _title("Beside 12 clients that send one byte a second, to without them")
    _row("", "p99", "", "", "a second", "p50", "p99", "p99.9", "CPU µs", "errors")
    ratio = statistics.median(two.p99 / one.p99 for one, two in zip(alone, beside, strict=True))
    _row("usual", f"{ratio:.2f}", "", "", *_columns(alone, beside))


def _containers(arena: Arena, ours: Contender, pace: Pace) -> None:
    _title("As a Pod grows")
    _row("containers", "µs CPU", "of each")
    for count in (1, 10, 100, 1_000, 3_000):
        made = [bodies.containers(number, count) for number in range(8)]
        seen = arena.load(ours, exchanges(arena, ours, made), "-connections", "2", "-duration", f"{pace.seconds}s")
        cost = seen.cpu / seen.requests * 1e6
        _row(f"{count:,}", f"{cost:,.0f}", f"{cost / count:,.1f}")


def _settings(arena: Arena, pace: Pace) -> None:
    """Compare a thousand of something in the configuration with one, on images that no cache knows."""
    _title("1,000 to 1 of them in the configuration, requests a second, images never seen")
    _row("", "ratio", "", "of rounds")
    made = [bodies.unseen(number) for number in range(3_000)]
    load = ["-connections", "8", "-duration", f"{pace.seconds}s"]
    for name, line in (
        ("rules", "{{from: mirror-{0}.example.org/team, to: {1}/mirror-{0}}}"),
        ("exclude", "'mirror-{0}.example.org/**'"),
    ):
        one, thousand = (
            f"{REGISTRY}webhook: {{{name}: [{', '.join(line.format(at, bodies.SERVER) for at in range(count))}]}}\n"
            for count in (1, 1_000)
        )
        with arena.product(one, "one") as few, arena.product(thousand, "thousand") as many:
            seen = _in_turns(arena, [few, many], made, load, pace.rounds)
            ratios = _ratios(*seen)
        _row(name, f"{statistics.median(ratios):.2f}", "", _range(ratios))


def _starts(arena: Arena, pace: Pace) -> None:
    _title("Until ready, in ms")
    _row("", "median", "aim", "of starts")
    seen = []
    for _ in range(pace.starts):
        with arena.product(REGISTRY) as ours:
            seen.append(ours.ready * 1000)
    _row("ready after", f"{statistics.median(seen):.0f}", "≤ 350", f"{min(seen):.0f} to {max(seen):.0f}")


def _endure(arena: Arena, ours: Contender, pace: Pace) -> None:
    _title("Memory, in MiB", "what supervisor and worker share counts once")
    _row("", "worker", "aim", "with supervisor", "aim")
    made = [bodies.usual(number) for number in range(SAMPLE)]
    sent = exchanges(arena, ours, made)
    _say_memory(ours, "fresh")
    arena.load(ours, sent, "-connections", "64", "-requests", str(pace.endurance // 10))
    _say_memory(ours, "after 64 connections", "≤ 45", "≤ 70")
    seen = arena.load(ours, sent, "-connections", "64", "-requests", str(pace.endurance))
    _say_memory(ours, f"{pace.endurance:,} requests later")
    _row("errors", str(seen.errors))


def _say_memory(ours: Contender, when: str, aim: str = "", aim_with_supervisor: str = "") -> None:
    _row(when, f"{ours.memory():.1f}", aim, f"{ours.memory_with_supervisor():.1f}", aim_with_supervisor)


def _in_turns(
    arena: Arena, servers: Sequence[Contender], made: list[bytes], load: list[str], rounds: int
) -> list[list[Figures]]:
    """Have each server answer in each round, and give what was seen of each."""
    sent = [exchanges(arena, server, made) for server in servers]
    seen: list[list[Figures]] = [[] for _ in servers]
    for _ in range(rounds):
        for server, exchanged, figures in zip(servers, sent, seen, strict=True):
            figures.append(arena.load(server, exchanged, *load))
    return seen


def exchanges(arena: Arena, server: Contender, made: list[bytes]) -> Exchanges:
    """Write down what is sent and what is answered, once a sample of that was seen to be right."""
    trust = ssl.create_default_context(cafile=str(arena.folder / "ca.crt"))
    connection = http.client.HTTPSConnection("localhost", server.port, context=trust)
    answers = []
    for number, body in enumerate(made):
        connection.request("POST", "/mutate?timeout=10s", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        if number < SAMPLE:
            refuse_wrong(server.name, body, answer)
        answers.append(answer.strip())
    connection.close()
    return arena.written(server, made, answers)


def _ratios(theirs: list[Figures], own: list[Figures]) -> list[float]:
    return [two.rate / one.rate for one, two in zip(theirs, own, strict=True)]


def _cost(seen: list[Figures]) -> float:
    """Return the µs of CPU of a request, in the middle of the rounds."""
    return statistics.median(one.cpu / max(one.requests, 1) * 1e6 for one in seen)


def _range(ratios: Iterable[float]) -> str:
    return " ".join(f"{ratio:.2f}" for ratio in ratios)


def _columns(theirs: list[Figures], own: list[Figures]) -> Iterable[str]:
    """Give the middle of the rounds for each figure, ours and theirs."""

    def both(shown: str, figure: Callable[[Figures], float]) -> str:
        return "/".join(format(statistics.median(map(figure, seen)), shown) for seen in (own, theirs))

    yield both(",.0f", lambda seen: seen.rate)
    yield both(".2f", lambda seen: seen.p50 * 1000)
    yield both(".2f", lambda seen: seen.p99 * 1000)
    yield both(".2f", lambda seen: seen.p999 * 1000)
    yield f"{_cost(own):.0f}/{_cost(theirs):.0f}"
    yield "/".join(str(sum(one.errors for one in seen)) for seen in (own, theirs))
    for one in [*own, *theirs]:
        if one.errors:
            print(f"an error: {one.example}", file=sys.stderr)


def _title(title: str, more: str = "") -> None:
    print(f"\n{title}{f' ({more})' if more else ''}", flush=True)


def _row(name: str, *cells: str) -> None:
    widths = (10, 8, 16, 16, 12, 14, 14, 10, 8)
    shown = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=False))
    print(f"{name:<28}{shown}".rstrip(), flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped")
