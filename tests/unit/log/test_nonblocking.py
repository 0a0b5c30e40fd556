"""Writes to a pipe whose reader reads, stalls or has exited."""

import io
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from webhook.log.nonblocking import NonBlockingWriter


class Pipe(NamedTuple):
    """A writer to a pipe, and the pipe's other end."""

    writer: NonBlockingWriter
    reading: int

    def read(self) -> str:
        """Read the pipe until it is empty."""
        found = b""
        while True:
            self.writer.flush(0)
            try:
                found += os.read(self.reading, 65536)
            except BlockingIOError:
                return found.decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(writing, "w") as stream, open(reading, "rb"):  # noqa: PTH123 - descriptors
        yield Pipe(NonBlockingWriter(stream, lambda number: f"{number} lines were lost\n"), reading)


def numbered(first: int, count: int) -> str:
    return "".join(f"line {number:06d} {'x' * 80}\n" for number in range(first, first + count))


def test_write_to_pipe_is_immediate(pipe: Pipe) -> None:
    pipe.writer.write("one\n", 0)
    assert os.read(pipe.reading, 100) == b"one\n"


def test_write_to_full_pipe_is_buffered_in_order(pipe: Pipe) -> None:
    written = ""
    for number in range(0, 5000, 5):
        pipe.writer.write(numbered(number, 5), 0)
        written += numbered(number, 5)
    assert len(written) > 3 * 65536
    assert pipe.read() == written
    assert pipe.writer.dropped == 0


def test_write_beyond_buffer_drops_and_reports(pipe: Pipe) -> None:
    for number in range(30_000):
        pipe.writer.write(numbered(number, 1), 0)
    assert pipe.writer.dropped > 10_000
    kept = pipe.read().splitlines(keepends=True)
    assert kept == numbered(0, len(kept)).splitlines(keepends=True)
    assert pipe.writer.dropped == 30_000 - len(kept)
    pipe.writer.write("again\n", 0)
    assert pipe.read() == f"{pipe.writer.dropped} lines were lost\nagain\n"


def test_write_long_line_is_complete(pipe: Pipe) -> None:
    line = "y" * 10_000 + "\n"
    pipe.writer.write(line, 0)
    assert pipe.read() == line


def test_flush_waits_for_reader_up_to_timeout(pipe: Pipe) -> None:
    written = numbered(0, 2000)
    pipe.writer.write(written, 0.01)  # and does not wait for ever
    found: list[bytes] = []

    def read() -> None:
        os.set_blocking(pipe.reading, True)
        while sum(map(len, found)) < len(written):
            found.append(os.read(pipe.reading, 4096))

    reader = threading.Timer(0.05, read)
    reader.start()
    pipe.writer.flush(30)
    reader.join(30)
    assert b"".join(found).decode() == written


def test_write_to_broken_pipe_raises_nothing() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as stream:  # noqa: PTH123 - a descriptor
        lines = NonBlockingWriter(stream, str)
        os.close(reading)
        lines.write("one\n", 0)
        lines.write("two\n", 0)
        lines.flush(0)


def test_write_to_stream_without_descriptor() -> None:
    stream = io.StringIO()
    lines = NonBlockingWriter(stream, str)
    lines.write("one\n", 0)
    lines.flush(0)
    assert stream.getvalue() == "one\n"
