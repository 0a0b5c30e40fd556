import io
import logging
from collections.abc import Iterator

import pytest

from webhook import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of a test; logging is as before when it ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    log.configure(stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
