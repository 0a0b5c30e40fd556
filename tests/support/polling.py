"""Polling for a state, with and without an event loop."""

import asyncio
import http.client
import time
from collections.abc import Callable


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until a condition holds; raise `TimeoutError` after 20 seconds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the state has no event
            await asyncio.sleep(0.001)


def wait_until(holds: Callable[[], object], patience: float) -> None:
    """Wait up to `patience` seconds for a condition; failed connections count as not met."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if holds():
                return
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
