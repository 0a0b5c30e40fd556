"""Writes lines to a file, a pipe or a terminal without blocking on a reader that has stalled.

A write to a full pipe blocks until something is read. So a pipe is polled first. What it does not take is buffered, up
to 1 MiB; further lines are dropped, counted, and reported once the reader has caught up.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TextIO

_BUFFER_LIMIT = 1024 * 1024
#: Bytes that a pipe takes at once if it takes any.
_WRITE_SIZE = select.PIPE_BUF


class NonBlockingWriter:
    """Writes to a stream; it can be used from several threads.

    `report` returns the line that reports how many were dropped. A stream without a file descriptor, as in tests, is
    written to directly.
    """

    def __init__(self, stream: TextIO, report: Callable[[int], str]) -> None:
        self._stream = stream
        self._report = report
        self._lock = Lock()
        self._buffered: deque[bytes] = deque()
        self._size = 0
        self._unreported = 0
        #: Lines that were dropped.
        self.dropped = 0
        self._poll: select.poll | None = None
        with suppress(OSError, ValueError):
            self._descriptor = stream.fileno()
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, lines: str, timeout: float) -> None:
        """Write whole lines or buffer them, waiting up to `timeout` seconds for the reader."""
        # If the reader is gone, there is nowhere to report an error.
        with self._lock, suppress(OSError, ValueError):
            if self._poll is None:
                self._stream.write(lines)
                self._stream.flush()
                return
            if self._unreported and self._size <= _BUFFER_LIMIT // 2:
                lines = self._report(self._unreported) + lines
                self._unreported = 0
            self._buffer(lines.encode())
            self._flush(self._poll, timeout)

    def flush(self, timeout: float) -> None:
        """Write the buffer, waiting up to `timeout` seconds for the reader."""
        with self._lock, suppress(OSError, ValueError):
            if self._poll is not None:
                self._flush(self._poll, timeout)

    def _buffer(self, lines: bytes) -> None:
        if self._size > _BUFFER_LIMIT:
            dropped = lines.count(b"\n")
            self.dropped += dropped
            self._unreported += dropped
        else:
            self._buffered.append(lines)
            self._size += len(lines)

    def _flush(self, poll: select.poll, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._buffered and poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            first = self._buffered.popleft()
            self._size -= len(first)
            # Whole lines, unless the first is longer: another process may write to the same pipe.
            piece = first[: first.rfind(b"\n", 0, _WRITE_SIZE) + 1 or _WRITE_SIZE]
            rest = first[os.write(self._descriptor, piece) :]
            if rest:
                self._buffered.appendleft(rest)
                self._size += len(rest)
