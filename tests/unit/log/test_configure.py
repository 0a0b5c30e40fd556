import io
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from webhook import log


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
