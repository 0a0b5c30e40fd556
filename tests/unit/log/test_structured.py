import io
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from webhook import log, timestamps
from webhook.pull_secret import keyring


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


def test_where_library_raised_names_innermost_frame_of_ours() -> None:
    """What the library does inside is of no help: the line of ours that called it is."""
    with pytest.raises(ValueError, match="Invalid") as raised:
        timestamps.format_rfc3339(float("nan"))
    assert log.location(raised.value).startswith("ValueError at webhook.timestamps:")
    with pytest.raises(json.JSONDecodeError) as raised_inside:
        keyring.lookup((), cast("str", _Parses()))
    assert log.location(raised_inside.value).startswith("JSONDecodeError at webhook.images.reference:")


class _Parses:
    """An image that calls back: the frames of others are around and inside ours."""

    def __getattr__(self, name: str) -> object:
        return json.loads("{")


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


@pytest.mark.usefixtures("stream")
def test_as_json_a_line_is_an_object_and_says_the_same() -> None:
    written = io.StringIO()
    log.configure(form="json", stream=written)
    logger = logging.getLogger("webhook.test")
    hostile = 'a"b\\c\n\x7f\u202e'
    logger.info(log.event(hostile, value=hostile, number=3, share=0.5, truth=True, none=None, long="x" * 1000))
    logger.warning("client said %s", hostile)
    try:
        int("hunter2")
    except ValueError:
        logger.exception("failed")
    lines = written.getvalue().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    first, second, third = map(json.loads, lines)
    moment = first.pop("time")
    assert abs(datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%f%z") - datetime.now(UTC)) < timedelta(minutes=1)
    assert first == {
        "level": "INFO",
        "logger": "webhook.test",
        "message": hostile,
        "value": hostile,
        "number": 3,
        "share": 0.5,
        "truth": True,
        "long": "x" * 509 + "...",
    }
    assert second["message"] == f"client said {hostile}"
    assert third["message"].startswith("failed ValueError at ")
    assert "hunter2" not in written.getvalue()


@pytest.mark.parametrize(("begun_with", "followed"), [(None, True), ("warning", False)])
def test_the_level_is_followed_unless_one_was_chosen(
    stream: io.StringIO, begun_with: str | None, followed: bool
) -> None:
    log.configure(begun_with, stream=stream)
    log.set_level("debug")
    logging.getLogger("webhook.test").debug("ours")
    logging.getLogger("elsewhere").debug("a library's, that may hold what was sent")
    log.set_level("error")
    logging.getLogger("webhook.test").warning("later")
    assert said(stream) == (["DEBUG webhook.test ours"] if followed else ["WARNING webhook.test later"])


def said(stream: io.StringIO) -> list[str]:
    """What is written, but for the time."""
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_a_pair_with_controls_or_other_alphabets_is_one_printable_line(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.info(logger, log.event("seen", name="a\x7fb", other="é\u2028\ud800\n", third="\U0001f600"))
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith(r' seen name="a\u007fb" other="\u00e9\u2028\ud800\n" third="\ud83d\ude00"')


@pytest.mark.parametrize("together", [True, False])
def test_what_is_said_is_the_line_that_logging_writes(stream: io.StringIO, together: bool) -> None:
    logger, event = logging.getLogger("webhook.test"), log.event("rewritten", pod="a b", images="x -> y")
    turn: list[Callable[[], None]] = []
    log.batch(turn.append if together else None)
    log.info(logger, event)
    logger.info(event)
    log.batch(None)
    first, second = stream.getvalue().splitlines()
    assert (
        first.partition(" ")[2] == second.partition(" ")[2] == 'INFO webhook.test rewritten pod="a b" images="x -> y"'
    )
    for line in (first, second):
        assert len(line.partition(" ")[0]) == len("2026-01-01T00:00:00.000Z")
        moment = datetime.strptime(line.partition(" ")[0], "%Y-%m-%dT%H:%M:%S.%f%z")
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_is_said_reaches_whoever_else_listens(stream: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().addHandler(caplog.handler)
    log.info(logging.getLogger("webhook.test"), log.event("rewritten", pod="a"))
    assert [record.getMessage() for record in caplog.records] == ["rewritten pod=a"]
    assert said(stream) == ["INFO webhook.test rewritten pod=a"]


def test_the_lines_of_a_turn_are_written_together_and_in_order(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    turn: list[Callable[[], None]] = []
    log.batch(turn.append)
    for number in range(3):
        log.info(logger, log.event("said", number=number))
        logger.warning("logged %d", number)
    assert stream.getvalue() == ""
    (flush,) = turn
    flush()
    expected = [
        line for n in range(3) for line in (f"INFO webhook.test said number={n}", f"WARNING webhook.test logged {n}")
    ]
    assert said(stream) == expected
    turn.clear()
    logger.info("of the next turn")
    (flush,) = turn
    flush()
    assert said(stream) == [*expected, "INFO webhook.test of the next turn"]
    flush()
    log.batch(None)
    assert len(said(stream)) == 7


def test_nothing_is_lost_when_lines_are_written_at_once_again(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch(lambda _: None)  # a loop that ended before its next turn
    logger.info("waiting")
    log.batch(None)
    assert said(stream) == ["INFO webhook.test waiting"]
    logger.info("at once")
    assert said(stream) == ["INFO webhook.test waiting", "INFO webhook.test at once"]


def test_nothing_is_lost_when_the_process_ends(stream: io.StringIO) -> None:
    log.batch(lambda _: None)
    logging.getLogger("webhook.test").info("waiting")
    logging.getLogger().handlers[0].flush()  # as logging does at the end
    assert said(stream) == ["INFO webhook.test waiting"]


def test_another_threads_line_is_not_kept_waiting(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch(lambda _: None)
    logger.info("of the loop")
    other = threading.Thread(target=logger.info, args=("of another thread",))
    other.start()
    other.join()
    assert said(stream) == ["INFO webhook.test of another thread"]
    log.batch(None)
    assert said(stream)[1:] == ["INFO webhook.test of the loop"]


def test_a_fault_that_is_gathered_is_a_line_as_any_other(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch(lambda _: None)
    try:
        int("hunter2")
    except ValueError:
        logger.exception("failed")
    logger.info("after it")
    log.batch(None)
    first, second = said(stream)
    assert first.startswith("ERROR webhook.test failed ValueError at ")
    assert "hunter2" not in first
    assert second == "INFO webhook.test after it"


@pytest.mark.parametrize("together", [True, False])
def test_where_nobody_reads_any_more_nothing_fails(stream: io.StringIO, together: bool) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch((lambda _: None) if together else None)
    stream.close()
    logger.info("logged")
    log.info(logger, log.event("said"))
    log.batch(None)
    logger.info("again")


class Halting(io.StringIO):
    """A stream on which one write is two, as on a pipe that is full."""

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        time.sleep(0)
        return half + super().write(text[half:])


@pytest.mark.usefixtures("stream")
def test_the_lines_of_threads_do_not_mix() -> None:
    halting = Halting()
    log.configure(stream=halting)
    logger = logging.getLogger("webhook.test")

    def say(event: log.Event) -> None:
        for _ in range(200):
            log.info(logger, event)

    events = [log.event("said", thread=number) for number in range(4)]
    threads = [threading.Thread(target=say, args=(event,)) for event in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(said(halting)) == {f"INFO webhook.test {event}": 200 for event in events}
