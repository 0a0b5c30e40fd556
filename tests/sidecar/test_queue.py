"""Each name is looked at once, in its time, by one worker at a time."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.sidecar.queue import Queue

from .by_hand import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue:
    return Queue(clock)


def taken(queue: Queue) -> list[str]:
    """Take all that is due, and say that it is done."""
    names = []
    while (name := queue.take(0)) is not None:
        names.append(name)
        queue.done(name)
    return names


def test_what_is_added_twice_is_looked_at_once(queue: Queue) -> None:
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert taken(queue) == ["a", "b"]
    assert queue.take(0) is None


def test_what_is_for_later_waits_for_its_time(queue: Queue, clock: Clock) -> None:
    queue.add("late", 10)
    queue.add("early", 5)
    assert taken(queue) == []
    clock.now += 5
    assert taken(queue) == ["early"]
    clock.now += 4.9
    assert taken(queue) == []
    clock.now += 0.1
    assert taken(queue) == ["late"]


@pytest.mark.parametrize("delays", [(10, 0), (0, 10), (10, 0, 5)])
def test_the_sooner_of_two_times_counts(queue: Queue, clock: Clock, delays: tuple[float, ...]) -> None:
    for delay in delays:
        queue.add("a", delay)
    assert taken(queue) == ["a"]
    clock.now += 20
    assert taken(queue) == []


def test_one_that_is_in_hands_is_given_to_nobody_else(queue: Queue) -> None:
    queue.add("a")
    assert queue.take(0) == "a"
    queue.add("a")
    queue.add("b")
    assert queue.take(0) == "b"
    assert queue.take(0) is None


def test_one_that_is_added_while_it_is_in_hands_is_looked_at_again(queue: Queue) -> None:
    queue.add("a")
    assert queue.take(0) == "a"
    queue.add("a")
    assert queue.take(0) is None
    queue.done("a")
    assert taken(queue) == ["a"]


def test_one_that_is_put_off_while_it_is_in_hands_keeps_its_time(queue: Queue, clock: Clock) -> None:
    queue.add("a")
    assert queue.take(0) == "a"
    queue.add("a", 30)
    queue.done("a")
    assert queue.take(0) is None
    clock.now += 30
    assert taken(queue) == ["a"]


def test_it_is_idle_when_nothing_is_due_and_nothing_in_hands(queue: Queue, clock: Clock) -> None:
    assert queue.wait_until_idle(0)
    queue.add("a")
    assert not queue.wait_until_idle(0)
    assert queue.take(0) == "a"
    assert not queue.wait_until_idle(0)
    queue.add("a", 30)
    queue.done("a")
    assert queue.wait_until_idle(0)  # what is for later is no work now
    clock.now += 30
    assert not queue.wait_until_idle(0)


def test_who_waits_gets_what_is_added_and_what_becomes_due() -> None:
    queue = Queue(time.monotonic)
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.extend(queue.take(20) for _ in range(2)))
    waiting.start()
    queue.add("later", 0.2)
    queue.add("now")
    waiting.join(20)
    assert got == ["now", "later"]


def test_once_closed_nobody_waits_any_more() -> None:
    queue = Queue(time.monotonic)
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.append(queue.take(60)))
    waiting.start()
    queue.close()
    waiting.join(20)
    assert got == [None]
    queue.add("a")
    assert queue.take(60) is None
    assert queue.wait_until_idle(60)


_NAMES = st.sampled_from("abc")
_ACTIONS = st.lists(
    st.tuples(st.just("add"), _NAMES, st.sampled_from([0.0, 0.0, 1.0, 5.0]))
    | st.tuples(st.sampled_from(["take", "pass"]), st.just(""), st.sampled_from([0.5, 5.0]))
    | st.tuples(st.just("done"), _NAMES, st.just(0.0)),
    max_size=40,
)


@given(_ACTIONS)
def test_nothing_is_lost_and_nothing_is_in_two_hands(actions: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    queue = Queue(clock)
    in_hands: set[str] = set()
    due: dict[str, float] = {}
    for action, name, number in actions:
        match action:
            case "add":
                queue.add(name, number)
                due[name] = min(due.get(name, float("inf")), clock.now + number)
            case "done" if name in in_hands:
                in_hands.discard(name)
                queue.done(name)
            case "pass":
                clock.now += number
            case "take":
                got = queue.take(0)
                ready = {known for known, at in due.items() if at <= clock.now and known not in in_hands}
                assert (got in ready) if ready else got is None
                if got is not None:
                    del due[got]
                    in_hands.add(got)
    for name in in_hands:
        queue.done(name)
    clock.now += 5
    assert sorted(taken(queue)) == sorted(due)
    assert queue.wait_until_idle(0)
