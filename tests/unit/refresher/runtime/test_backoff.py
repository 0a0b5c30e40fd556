"""Conflicting updates of a pull secret: three repairs at once, then with increasing delays, until they stop."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.refresher.runtime.backoff import COOL_DOWN, LONGEST, REPAIRS, RESET_AFTER, WINDOW, FlapBackoff


def repair(contention: FlapBackoff, now: float) -> float:
    """Repair as soon as that may be, and give the time of it."""
    waited = contention.delay(now)
    assert contention.delay(now + waited) == 0
    contention.record(now + waited)
    return now + waited


@pytest.fixture
def fight() -> FlapBackoff:
    """A fight at the time 0, after as many repairs as are made at once."""
    contention = FlapBackoff()
    for _ in range(REPAIRS):
        assert contention.delay(0.0) == 0
        contention.record(0.0)
    return contention


def test_three_repairs_are_made_at_once_and_the_fourth_waits(fight: FlapBackoff) -> None:
    assert REPAIRS == 3
    assert fight.delay(1.0) == COOL_DOWN


def test_who_asks_again_waits_for_the_same_moment(fight: FlapBackoff) -> None:
    assert [fight.delay(at) for at in (1.0, 3.0, 8.0, 11.0, 12.0)] == [10.0, 8.0, 3.0, 0.0, 0.0]


def test_every_truce_is_twice_as_long_up_to_a_bound(fight: FlapBackoff) -> None:
    now, waits = 1.0, []
    for _ in range(8):
        waits.append(repair(fight, now) - now)
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_repairs_that_are_a_minute_apart_are_no_fight() -> None:
    contention = FlapBackoff()
    for number in range(100):
        assert contention.delay(number * 21.0) == 0  # three a minute
        contention.record(number * 21.0)


def test_peace_makes_everything_as_it_was(fight: FlapBackoff) -> None:
    last = repair(fight, 1.0)
    assert not fight.is_over(last + RESET_AFTER)
    assert fight.delay(last + RESET_AFTER) > 0
    begin = last + RESET_AFTER + 1
    assert fight.is_over(begin)
    assert [repair(fight, begin + n) - begin - n for n in range(4)] == [0, 0, 0, COOL_DOWN]


def test_where_nothing_was_repaired_there_is_peace() -> None:
    assert FlapBackoff().is_over(0.0)


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_whatever_the_other_does_there_are_few_repairs_in_a_minute(pauses: list[float]) -> None:
    contention, now, at = FlapBackoff(), 0.0, list[float]()
    for pause in pauses:
        now = repair(contention, now + pause)
        at.append(now)
    # Three at once, and then no sooner than a truce after the one before.
    for first, fourth in zip(at, at[REPAIRS:], strict=False):
        assert fourth - first >= min(COOL_DOWN, WINDOW)
    waits = [second - first for first, second in pairwise(at)]
    assert all(wait >= 0 for wait in waits)
    assert all(wait <= LONGEST + pause + 0.001 for wait, pause in zip(waits, pauses[1:], strict=True))
