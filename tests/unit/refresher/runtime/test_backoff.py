"""A fight over a pull secret: three repairs at once, then ever later ones, until there is peace."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.refresher.runtime.backoff import LONGEST, PEACE, REPAIRS, TRUCE, WINDOW, Contention


def repair(contention: Contention, now: float) -> float:
    """Repair as soon as that may be, and give the time of it."""
    waited = contention.hold(now)
    assert contention.hold(now + waited) == 0
    contention.repaired(now + waited)
    return now + waited


@pytest.fixture
def fight() -> Contention:
    """A fight at the time 0, after as many repairs as are made at once."""
    contention = Contention()
    for _ in range(REPAIRS):
        assert contention.hold(0.0) == 0
        contention.repaired(0.0)
    return contention


def test_three_repairs_are_made_at_once_and_the_fourth_waits(fight: Contention) -> None:
    assert REPAIRS == 3
    assert fight.hold(1.0) == TRUCE


def test_who_asks_again_waits_for_the_same_moment(fight: Contention) -> None:
    assert [fight.hold(at) for at in (1.0, 3.0, 8.0, 11.0, 12.0)] == [10.0, 8.0, 3.0, 0.0, 0.0]


def test_every_truce_is_twice_as_long_up_to_a_bound(fight: Contention) -> None:
    now, waits = 1.0, []
    for _ in range(8):
        waits.append(repair(fight, now) - now)
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_repairs_that_are_a_minute_apart_are_no_fight() -> None:
    contention = Contention()
    for number in range(100):
        assert contention.hold(number * 21.0) == 0  # three a minute
        contention.repaired(number * 21.0)


def test_peace_makes_everything_as_it_was(fight: Contention) -> None:
    last = repair(fight, 1.0)
    assert not fight.over(last + PEACE)
    assert fight.hold(last + PEACE) > 0
    begin = last + PEACE + 1
    assert fight.over(begin)
    assert [repair(fight, begin + n) - begin - n for n in range(4)] == [0, 0, 0, TRUCE]


def test_where_nothing_was_repaired_there_is_peace() -> None:
    assert Contention().over(0.0)


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_whatever_the_other_does_there_are_few_repairs_in_a_minute(pauses: list[float]) -> None:
    contention, now, at = Contention(), 0.0, list[float]()
    for pause in pauses:
        now = repair(contention, now + pause)
        at.append(now)
    # Three at once, and then no sooner than a truce after the one before.
    for first, fourth in zip(at, at[REPAIRS:], strict=False):
        assert fourth - first >= min(TRUCE, WINDOW)
    waits = [second - first for first, second in pairwise(at)]
    assert all(wait >= 0 for wait in waits)
    assert all(wait <= LONGEST + pause + 0.001 for wait, pause in zip(waits, pauses[1:], strict=True))
