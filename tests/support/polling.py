"""Polling for a state on an event loop."""

import asyncio
from collections.abc import Callable


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until a condition holds; raise `TimeoutError` after 20 seconds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the state has no event
            await asyncio.sleep(0.001)
