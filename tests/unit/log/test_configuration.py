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
def test_set_level_ignored_if_configured(stream: io.StringIO, begun_with: str | None, followed: bool) -> None:
    log.configure(begun_with, stream=stream)
    log.set_level("debug")
    logging.getLogger("webhook.test").debug("ours")
    logging.getLogger("elsewhere").debug("a library's, that may hold what was sent")
    log.set_level("error")
    logging.getLogger("webhook.test").warning("later")
    assert said(stream) == (["DEBUG webhook.test ours"] if followed else ["WARNING webhook.test later"])


def said(stream: io.StringIO) -> list[str]:
    """Return the lines without their time."""
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_info_value_is_printable_ascii(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.info(logger, log.event("seen", name="a\x7fb", other="é\u2028\ud800\n", third="\U0001f600"))
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith(r' seen name="a\u007fb" other="\u00e9\u2028\ud800\n" third="\ud83d\ude00"')


@pytest.mark.parametrize("together", [True, False])
def test_info_writes_same_line_as_logger(stream: io.StringIO, together: bool) -> None:
    logger, event = logging.getLogger("webhook.test"), log.event("rewritten", pod="a b", images="x -> y")
    scheduled: list[Callable[[], None]] = []
    log.batch(scheduled.append if together else None)
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


def test_info_reaches_other_handlers(stream: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger().addHandler(caplog.handler)
    log.info(logging.getLogger("webhook.test"), log.event("rewritten", pod="a"))
    assert [record.getMessage() for record in caplog.records] == ["rewritten pod=a"]
    assert said(stream) == ["INFO webhook.test rewritten pod=a"]


def test_batch_writes_lines_together_in_order(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    scheduled: list[Callable[[], None]] = []
    log.batch(scheduled.append)
    for number in range(3):
        log.info(logger, log.event("said", number=number))
        logger.warning("logged %d", number)
    assert stream.getvalue() == ""
    (flush,) = scheduled
    flush()
    expected = [
        line for n in range(3) for line in (f"INFO webhook.test said number={n}", f"WARNING webhook.test logged {n}")
    ]
    assert said(stream) == expected
    scheduled.clear()
    logger.info("of the next iteration")
    (flush,) = scheduled
    flush()
    assert said(stream) == [*expected, "INFO webhook.test of the next iteration"]
    flush()
    log.batch(None)
    assert len(said(stream)) == 7


def test_batch_ended_writes_waiting_lines(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch(lambda _: None)  # a loop that ended before its next scheduled
    logger.info("waiting")
    log.batch(None)
    assert said(stream) == ["INFO webhook.test waiting"]
    logger.info("at once")
    assert said(stream) == ["INFO webhook.test waiting", "INFO webhook.test at once"]


def test_batch_flushed_at_exit(stream: io.StringIO) -> None:
    log.batch(lambda _: None)
    logging.getLogger("webhook.test").info("waiting")
    logging.getLogger().handlers[0].flush()  # as logging does at the end
    assert said(stream) == ["INFO webhook.test waiting"]


def test_batch_other_thread_writes_at_once(stream: io.StringIO) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch(lambda _: None)
    logger.info("of the loop")
    other = threading.Thread(target=logger.info, args=("of another thread",))
    other.start()
    other.join()
    assert said(stream) == ["INFO webhook.test of another thread"]
    log.batch(None)
    assert said(stream)[1:] == ["INFO webhook.test of the loop"]


def test_batch_exception_is_a_line(stream: io.StringIO) -> None:
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
def test_log_to_closed_stream_raises_nothing(stream: io.StringIO, together: bool) -> None:
    logger = logging.getLogger("webhook.test")
    log.batch((lambda _: None) if together else None)
    stream.close()
    logger.info("logged")
    log.info(logger, log.event("said"))
    log.batch(None)
    logger.info("again")


class Halting(io.StringIO):
    """A stream that splits each write in two, as a full pipe does."""

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        time.sleep(0)
        return half + super().write(text[half:])


@pytest.mark.usefixtures("stream")
def test_lines_of_threads_do_not_mix() -> None:
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
