"""Any input as review or HTTP is answered or refused, and does not delay other requests."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import go_json
from tests.support.parsed_requests import parse_requests
from tests.support.server_process import Server
from tests.unit.admission import test_go_json
from webhook.admission import review
from webhook.admission.mutator import Mutator
from webhook.config.load import load

from . import http_noise, judging, pods
from .conftest import Form
from .costs import BOUNDED, GROWING, MIB, Cost

SEED = 1
_RANGE = 2_000
Figure = Callable[[str, object], None]


def test_generated_reviews_answers_hold_invariants(form: Form, figure: Figure) -> None:
    outcomes: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        ranges = [
            processes.submit(judging.judge_range, SEED, begin, min(begin + _RANGE, form.pods))
            for begin in range(0, form.pods, _RANGE)
        ]
        for each in ranges:
            outcomes += each.result()
    figure("drawn reviews", ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common()))
    assert outcomes.total() == form.pods
    # Nothing that a review can come to has been missed, and most are no rubbish.
    assert outcomes.keys() > {
        *("rewritten", "pull-secret", "unchanged", "opted-out", "mirror", "not-selected", "unsupported"),
    }
    assert outcomes["rewritten"] > form.pods / 10
    assert outcomes["refused"] < form.pods / 4


_EDITS = st.lists(
    st.tuples(st.integers(0, 3_000), st.sampled_from(pods.PIECES) | st.binary(max_size=4), st.integers(0, 40)),
    max_size=6,
)


def test_mutated_bodies_answers_hold_invariants(form: Form) -> None:
    # What hypothesis finds, it makes small; the reviews drawn above are as they are.
    handler = Mutator(load(judging.CONFIGURATIONS["rules"].encode(), "search", {}).configuration)

    @settings(max_examples=form.pods // 100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 10_000), _EDITS)
    def holds(number: int, edits: list[tuple[int, bytes, int]]) -> None:
        body = pods.draw(SEED, number).body
        for at, put_in, taken_out in edits:
            body = body[:at] + put_in + body[at + taken_out :]
        judging.judge(pods.Drawn(body, None), handler)

    holds()


def test_go_encoded_pods_rewritten_or_on_error_decides(form: Form) -> None:
    @settings(max_examples=form.pods // 1_000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.none() | go_json.pods(), go_json.pods(), st.booleans())
    def holds(old: Any, new: Any, allow: bool) -> None:
        handler = Mutator(test_go_json.CONFIGURED["allow" if allow else "deny"])
        test_go_json.hold(handler, new, old, allow=allow)

    holds()


def test_generated_bodies_sent_answered_or_refused(server: Server, form: Form, figure: Figure) -> None:
    statuses: Counter[int] = Counter()
    with server.client() as client:
        for number in range(form.pods // 50):
            body = pods.draw(SEED, number).body
            answer = client.review(body)
            statuses[answer.status] += 1
            if answer.status == 200:
                assert answer.response["allowed"] is True, number
            else:
                assert answer.status == 400, number
                line = answer.body.decode("ascii")
                assert line.endswith("\n"), number
                assert line[:-1].isprintable(), number
                assert len(line) < 300, number
    figure("of these, sent to the server", f"{statuses[200]:,} answered, {statuses[400]:,} refused")
    assert statuses[200] > statuses[400] > 0
    for line in server.log.splitlines():
        assert line.isascii()
        assert line.isprintable()
        assert line[:4].isdigit()


#: Answers that there can be to HTTP that is none.
_REFUSALS = {400, 404, 405, 413, 414, 415, 431}
#: Seconds in which an answer has come, if one comes; whoever is too slow for it here has fewer answers to count.
_QUIET = 0.1


def test_broken_http_parsed_no_further_than_strictly(form: Form, figure: Figure) -> None:
    answered = refused = 0
    for number in range(form.pods // 2):
        stream = http_noise.make(SEED, number)
        found = parse_requests([stream])
        assert len(found) <= http_noise.most_answers(stream), (number, stream)
        cut = number % (len(stream) + 1)
        assert _without_statuses(parse_requests([stream[:cut], stream[cut:]])) == _without_statuses(found), (
            cut,
            stream,
        )
        answered += sum(isinstance(each, bytes) for each in found)
        refused += sum(isinstance(each, int) for each in found)
    figure("broken HTTP, parsed", f"{form.pods // 2:,} streams; {answered:,} requests, {refused:,} refused")
    assert answered > refused > 0


def _without_statuses(found: list[bytes | int]) -> list[bytes | None]:
    """Of several reasons to refuse a stream, the first that is noticed depends on how it arrives."""
    return [each if isinstance(each, bytes) else None for each in found]


def test_broken_http_no_extra_answers(server: Server, form: Form, figure: Figure) -> None:
    statuses: Counter[int] = Counter()
    with ThreadPoolExecutor(16) as threads:
        streams = [http_noise.make(SEED, number) for number in range(form.pods // 40)]
        for number, received in enumerate(threads.map(partial(_exchange, server), streams)):
            found = _statuses(received)
            assert set(found) <= {200} | _REFUSALS, (number, streams[number], received)
            assert len(found) <= http_noise.most_answers(streams[number]), (number, streams[number], received)
            statuses.update(found)
    figure(
        "broken HTTP", f"{len(streams):,} streams; " + ", ".join(f"{n:,} x {it}" for it, n in statuses.most_common())
    )
    assert server.ask("GET", "/").status == 200
    assert {200, 400, 415, 431} <= statuses.keys()


def _exchange(server: Server, stream: bytes) -> bytes:
    """Send a stream, and give all that comes until the server closes or has nothing more to say."""
    received = b""
    with suppress(OSError), server.tls() as connection:
        connection.settimeout(_QUIET)
        connection.sendall(stream)
        while piece := connection.recv(65536):
            received += piece
    return received


def _statuses(received: bytes) -> list[int]:
    """Read answers, which must be right, and give what they say but for those that ask for a body."""
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.split(b"\r\n")
        status = re.fullmatch(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]+", first)
        assert status, first
        fields = dict(line.split(b": ", 1) for line in lines)
        if status[1] != b"100":
            size = int(fields[b"Content-Length"])
            assert len(received) >= size, (head, received)
            assert received[:size].isascii()
            received = received[size:]
            found.append(int(status[1]))
    return found


def _judge(body: bytes) -> None:
    for text in judging.CONFIGURATIONS.values():
        handler = Mutator(load(text.encode(), "large", {}).configuration)
        judging.judge(pods.Drawn(body, None), handler)


@pytest.mark.parametrize("kind", GROWING)
def test_large_body_answer_holds_invariants(kind: str) -> None:
    for size in (200_000, MIB + 200_000):
        _judge(GROWING[kind](size))


@pytest.mark.parametrize("kind", BOUNDED)
def test_body_at_read_limit_answer_holds_invariants(kind: str) -> None:
    _judge(BOUNDED[kind]())


#: The largest first, for what it takes could hide behind what another has let go of.
_SIZES = (review.BODY_LIMIT * 9 // 10, 8 * MIB, 2 * MIB, MIB)


def _measure(bodies: list[bytes], folder: Path) -> list[Cost]:
    files = [folder / str(number) for number in range(len(bodies))]
    for file, body in zip(files, bodies, strict=True):
        file.write_bytes(body)
    words = [sys.executable, "-m", "tests.endure.costs", *map(str, files)]
    found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    for file in files:
        file.unlink()
    return [Cost(*cost) for cost in found]


@pytest.mark.parametrize("kind", GROWING)
def test_review_cost_linear_and_limited(kind: str, figure: Figure, tmp_path: Path) -> None:
    costs = _measure([GROWING[kind](size) for size in _SIZES], tmp_path)
    worst, ratio = max(cost.each for cost in costs), costs[0].each / costs[-1].each
    _note(kind, costs, figure, f"{worst:5.1f} ns a byte at the most, at 22 MiB {ratio:.1f} times that at 1 MiB")
    assert costs[0].size <= review.BODY_LIMIT
    # What takes next to nothing cannot be measured so well.
    assert costs[0].each < 3 * max(costs[-1].each, 10)
    _check_bounded(costs)


@pytest.mark.parametrize("kind", BOUNDED)
def test_review_cost_at_read_limit_limited(kind: str, figure: Figure, tmp_path: Path) -> None:
    costs = _measure([BOUNDED[kind]()], tmp_path)
    _note(kind, costs, figure, f"{costs[0].size / MIB:.1f} MiB")
    _check_bounded(costs)


def _note(kind: str, costs: list[Cost], figure: Figure, more: str) -> None:
    figure(f"a review of {kind}", f"{costs[0].seconds * 1000:.0f} ms, {costs[0].memory / MIB:.0f} MiB; {more}")


def _check_bounded(costs: list[Cost]) -> None:
    assert {cost.status for cost in costs} <= {200, 400}
    # Of CPU: twice what the slowest takes on a machine of 2023.
    assert max(cost.seconds for cost in costs) < 8
    # Beside the body. With what connections hold, it stays below the container's limit.
    assert costs[0].memory < 256 * MIB
