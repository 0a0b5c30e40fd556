"""Requests that two readers can read differently, sent to the server with another request behind them."""

import re

import pytest

from tests.support.server_process import Server
from tests.support.smuggling_cases import CASES, NEXT, Case

#: Bytes of a TLS record. A server that closes before it has read everything could lose its answer.
_READ_AT_ONCE = 16 * 1024


def exchange(server: Server, sent: bytes) -> bytes:
    """Return all that the server sends before it closes the connection."""
    with server.tls() as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", received)]


def expected(case: Case) -> list[int]:
    return [*case.statuses] if case.is_last else [*case.statuses, 200]


@pytest.mark.parametrize("group", CASES)
def test_server_refuses_and_closes_or_answers_once(server: Server, group: str) -> None:
    cases = [case for case in CASES[group] if len(case.sent) < _READ_AT_ONCE]
    received = {case.name: exchange(server, case.sent + NEXT) for case in cases}
    assert {name: statuses(answers) for name, answers in received.items()} == {
        case.name: expected(case) for case in cases
    }
    for name, answers in received.items():
        last = answers[answers.rindex(b"HTTP/1.1 ") :]
        assert b"\r\nConnection: close\r\n" in last, name
