"""Connections that are idle for up to 90 s, as an API server keeps them."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPResponse
from ssl import SSLSocket

from tests.support.server_process import Server

from .traffic import request

_GAPS = (2, 10, 30, 60, 89)
_CONNECTIONS = 5


def ask(connection: SSLSocket) -> None:
    """Send a review, and fail unless it is answered and the connection kept."""
    connection.sendall(request(0))
    answer = HTTPResponse(connection)
    answer.begin()
    assert (answer.status, answer.getheader("Connection")) == (200, None)
    assert "patch" in json.loads(answer.read())["response"]


def test_idle_connection_reused_after_any_gap(server: Server, figure: Callable[[str, object], None]) -> None:
    turns = sorted((gap * turn, gap) for gap in _GAPS for turn in range(_GAPS[-1] // gap + 1))
    asked = dict.fromkeys(_GAPS, 0)
    with ExitStack() as stack:
        kept = {gap: [stack.enter_context(server.tls()) for _ in range(_CONNECTIONS)] for gap in _GAPS}
        began = time.monotonic()
        for moment, gap in turns:
            time.sleep(max(0.0, began + moment - time.monotonic()))
            for connection in kept[gap]:
                ask(connection)
            asked[gap] += moment > 0
    times = ", ".join(f"{count} × {_CONNECTIONS} after {gap} s" for gap, count in asked.items())
    figure("kept connections used again", f"{times}; none was closed")
