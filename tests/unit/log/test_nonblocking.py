"""Lines to a pipe that somebody reads, reads late, or does not read."""

import io
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from webhook.log.nonblocking import NonBlockingWriter


class Pipe(NamedTuple):
    """Lines, and the other end of the pipe that they go into."""

    lines: NonBlockingWriter
    reading: int

    def read(self) -> str:
        """Take what is in the pipe, and what follows when there is room."""
        found = b""
        while True:
            self.lines.flush(0)
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


def test_a_line_is_there_when_it_is_written(pipe: Pipe) -> None:
    pipe.lines.write("one\n", 0)
    assert os.read(pipe.reading, 100) == b"one\n"


def test_what_a_full_pipe_does_not_take_comes_later_whole_and_in_order(pipe: Pipe) -> None:
    written = ""
    for number in range(0, 5000, 5):
        pipe.lines.write(numbered(number, 5), 0)
        written += numbered(number, 5)
    assert len(written) > 3 * 65536
    assert pipe.read() == written
    assert pipe.lines.dropped == 0


def test_what_nobody_reads_is_lost_within_a_bound_and_that_is_said_when_somebody_does(pipe: Pipe) -> None:
    for number in range(30_000):
        pipe.lines.write(numbered(number, 1), 0)
    assert pipe.lines.dropped > 10_000
    kept = pipe.read().splitlines(keepends=True)
    assert kept == numbered(0, len(kept)).splitlines(keepends=True)
    assert pipe.lines.dropped == 30_000 - len(kept)
    pipe.lines.write("again\n", 0)
    assert pipe.read() == f"{pipe.lines.dropped} lines were lost\nagain\n"


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(pipe: Pipe) -> None:
    line = "y" * 10_000 + "\n"
    pipe.lines.write(line, 0)
    assert pipe.read() == line


def test_who_has_patience_waits_for_a_reader_and_not_longer(pipe: Pipe) -> None:
    written = numbered(0, 2000)
    pipe.lines.write(written, 0.01)  # and does not wait for ever
    found: list[bytes] = []

    def read() -> None:
        os.set_blocking(pipe.reading, True)
        while sum(map(len, found)) < len(written):
            found.append(os.read(pipe.reading, 4096))

    reader = threading.Timer(0.05, read)
    reader.start()
    pipe.lines.flush(30)
    reader.join(30)
    assert b"".join(found).decode() == written


def test_nothing_fails_where_the_reader_is_gone() -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as stream:  # noqa: PTH123 - a descriptor
        lines = NonBlockingWriter(stream, str)
        os.close(reading)
        lines.write("one\n", 0)
        lines.write("two\n", 0)
        lines.flush(0)


def test_a_file_is_just_written_to() -> None:
    stream = io.StringIO()
    lines = NonBlockingWriter(stream, str)
    lines.write("one\n", 0)
    lines.flush(0)
    assert stream.getvalue() == "one\n"
