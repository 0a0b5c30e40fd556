import io
import logging
from collections.abc import Iterator

import pytest

from webhook import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged goes here, and back to where it went before when the test ends."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    log.configure(stream=written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_record_is_one_line_whatever_it_holds(stream: io.StringIO) -> None:
    logging.getLogger("webhook.test").info("client said %s", "x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r" INFO webhook.test client said x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r")


def test_a_fault_is_the_place_it_arose_in_and_nothing_of_what_it_says(stream: io.StringIO) -> None:
    try:
        int("hunter2")
    except ValueError:
        logging.getLogger("webhook.test").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert " ERROR webhook.test failed ValueError at " in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-1.0/x:y@z", "plain-1.0/x:y@z"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a" forged="1', '"a\\" forged=\\"1"'),
        ("a=b", '"a=b"'),
        ("x" * 1000, "x" * 509 + "..."),
    ],
)
def test_a_value_that_could_be_taken_for_another_pair_is_quoted(value: str, expected: str) -> None:
    assert log.quoted(value) == expected


def test_an_event_is_one_line_whatever_its_message_and_values_hold(stream: io.StringIO) -> None:
    logging.getLogger("webhook.test").info(log.event("a\nforged", value="b\n\x7f\u202e", none=None))
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(r' INFO webhook.test a\nforged value="b\n\u007f\u202e"')
