import io
import logging

import pytest

from webhook import log


def written(*lines: tuple[str, object]) -> list[str]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        log.configure(stream=stream)
        for message, argument in lines:
            logging.getLogger("webhook.test").info(message, argument)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return stream.getvalue().splitlines()


def test_a_record_is_one_line_whatever_it_holds() -> None:
    (line,) = written(("client said %s", "x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r"))
    assert line.endswith(r" INFO webhook.test client said x\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u202e\r")


def test_a_fault_is_the_place_it_arose_in_and_nothing_of_what_it_says() -> None:
    stream = io.StringIO()
    record = logging.LogRecord("webhook.test", logging.ERROR, __file__, 1, "failed", None, None)
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        log.configure(stream=stream)
        handler.setFormatter(root.handlers[0].formatter)
        try:
            int("hunter2")
        except ValueError as error:
            record.exc_info = (ValueError, error, error.__traceback__)
            handler.handle(record)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = stream.getvalue().splitlines()
    assert "failed ValueError at " in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain-1.0/x:y@z", "n=plain-1.0/x:y@z"),
        ("", 'n=""'),
        ("a b", 'n="a b"'),
        ('a" forged="1', 'n="a\\" forged=\\"1"'),
        ("a=b", 'n="a=b"'),
        ("x" * 1000, "n=" + "x" * 509 + "..."),
    ],
)
def test_a_value_that_could_be_taken_for_another_pair_is_quoted(value: str, expected: str) -> None:
    assert log.pair("n", value) == expected
