"""Writes lines to a file, a pipe or a terminal, and lets nobody who does not read them hold up the work.

What reads a container's log can stall, and a write to a full pipe waits for ever. So a pipe is asked first. What it
does not take stays in memory, within a bound, and is written when it does; beyond that lines are lost, which is said.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TextIO

#: Bytes that wait for a reader at the most.
_LIMIT = 1024 * 1024
#: A pipe that takes anything takes so much at once.
_PIECE = select.PIPE_BUF


class NonBlockingWriter:
    """What is written to, and what waits to be."""

    def __init__(self, stream: TextIO, lost: Callable[[int], str]) -> None:
        """Take the stream, and what makes a line that says how many were lost.

        A stream that is no file, as a test has it, is just written to.
        """
        self._stream = stream
        self._dropped_line = lost
        self._lock = Lock()
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._unreported = 0
        #: Lines that nobody took in time.
        self.dropped = 0
        try:
            self._descriptor = stream.fileno()
        except (OSError, ValueError):
            self._poll = None
        else:
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, text: str, timeout: float) -> None:
        """Write whole lines, or keep them; wait no longer than `timeout` seconds."""
        # Nobody may be reading any more, and then there is nowhere to say so.
        with self._lock, suppress(OSError, ValueError):
            if self._poll is None:
                self._stream.write(text)
                self._stream.flush()
                return
            if self._unreported and self._size <= _LIMIT // 2:
                text = self._dropped_line(self._unreported) + text
                self._unreported = 0
            self._buffer(text.encode())
            self._flush(self._poll, timeout)

    def flush(self, timeout: float) -> None:
        """Write what waits, as far as it is taken within `timeout` seconds."""
        with self._lock, suppress(OSError, ValueError):
            if self._poll is not None:
                self._flush(self._poll, timeout)

    def _buffer(self, lines: bytes) -> None:
        if self._size > _LIMIT:
            self.dropped += lines.count(b"\n")
            self._unreported += lines.count(b"\n")
            return
        self._waiting.append(lines)
        self._size += len(lines)

    def _flush(self, poll: select.poll, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while self._waiting:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return
            first = self._waiting.popleft()
            # Whole lines, if they are not too long: another process may write to the same pipe.
            piece = first[: first.rfind(b"\n", 0, _PIECE) + 1 or _PIECE]
            try:
                written = os.write(self._descriptor, piece)
            except OSError:
                self._size -= len(first)
                raise
            self._size -= written
            if written < len(first):
                self._waiting.appendleft(first[written:])
