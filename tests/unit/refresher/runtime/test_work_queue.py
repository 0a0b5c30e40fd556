"""Each name is processed once, when due, and by one worker at a time."""

import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.fakes import Clock
from webhook.refresher.runtime.work_queue import WorkQueue


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock)


def taken(queue: WorkQueue) -> list[str]:
    """Process everything that is due."""
    names = []
    while (name := queue.get(0)) is not None:
        names.append(name)
        queue.done(name)
    return names


def test_get_added_twice_gives_once_in_order(queue: WorkQueue) -> None:
    for name in ("a", "b", "a", "a"):
        queue.add(name)
    assert taken(queue) == ["a", "b"]
    assert queue.get(0) is None


def test_get_waiting_gets_what_is_added_and_what_becomes_due() -> None:
    queue = WorkQueue(time.monotonic)
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.extend(queue.get(20) for _ in range(2)))
    waiting.start()
    queue.add("later", 0.2)
    queue.add("now")
    waiting.join(20)
    assert got == ["now", "later"]


def test_close_wakes_up_and_nothing_waits_again() -> None:
    queue = WorkQueue(time.monotonic)
    got: list[str | None] = []
    waiting = threading.Thread(target=lambda: got.append(queue.get(60)))
    waiting.start()
    queue.close()
    waiting.join(20)
    assert got == [None]
    queue.add("a")
    assert queue.get(60) is None
    assert queue.wait_until_idle(60)


@pytest.mark.parametrize("delay", [0.0, 300.0])
def test_queue_add_while_processing_survives_delayed_add(queue: WorkQueue, clock: Clock, delay: float) -> None:
    """Another worker looks for work, and the one that has it puts the name off: the wake-up is not lost."""
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    assert queue.get(0) is None
    queue.add("a", delay)
    queue.done("a")
    assert taken(queue) == ["a"]
    clock.now += 301
    assert taken(queue) == []


def test_queue_due_while_processing_taken_once_after_done(queue: WorkQueue, clock: Clock) -> None:
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a", 5)
    clock.now += 6
    assert queue.get(0) is None
    queue.add("a", 300)
    queue.done("a")
    assert taken(queue) == ["a"]


class QueueMachine(RuleBasedStateMachine):
    """Any order of calls by any number of workers, next to a model: when each name is due, and which are processed."""

    names = st.sampled_from("abcd")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = WorkQueue(self.clock)
        self.due: dict[str, float] = {}
        self.processing: set[str] = set()

    @rule(name=names, delay=st.sampled_from([0.0, 0.0, -1.0, 0.5, 5.0, 300.0]))
    def add(self, name: str, delay: float) -> None:
        self.queue.add(name, delay)
        self.due[name] = min(self.due.get(name, float("inf")), self.clock.now + max(0.0, delay))

    @rule()
    def take(self) -> None:
        ready = {name for name, at in self.due.items() if at <= self.clock.now and name not in self.processing}
        got = self.queue.get(0)
        assert (got in ready) if ready else got is None
        if got is not None:
            del self.due[got]
            self.processing.add(got)

    @precondition(lambda self: self.processing)
    @rule(choice=st.data())
    def done(self, choice: st.DataObject) -> None:
        name = choice.draw(st.sampled_from(sorted(self.processing)))
        self.processing.discard(name)
        self.queue.done(name)

    @rule(seconds=st.sampled_from([0.25, 0.5, 5.0, 299.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def idle(self) -> None:
        busy = self.processing or any(at <= self.clock.now for at in self.due.values())
        assert self.queue.wait_until_idle(0) == (not busy)

    def teardown(self) -> None:
        for name in self.processing:
            self.queue.done(name)
        self.clock.now += 300
        assert sorted(taken(self.queue)) == sorted(self.due)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=40)
