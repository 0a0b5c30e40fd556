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


def test_backoff_first_repairs_immediate_then_delayed(fight: FlapBackoff) -> None:
    assert REPAIRS == 3
    assert fight.delay(1.0) == COOL_DOWN


def test_backoff_delay_counts_down(fight: FlapBackoff) -> None:
    assert [fight.delay(at) for at in (1.0, 3.0, 8.0, 11.0, 12.0)] == [10.0, 8.0, 3.0, 0.0, 0.0]


def test_backoff_delay_doubles_up_to_limit(fight: FlapBackoff) -> None:
    now, waits = 1.0, []
    for _ in range(8):
        waits.append(repair(fight, now) - now)
        now += waits[-1]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_backoff_spaced_repairs_no_delay() -> None:
    contention = FlapBackoff()
    for number in range(100):
        assert contention.delay(number * 21.0) == 0  # three a minute
        contention.record(number * 21.0)


def test_backoff_reset_after_quiet_period(fight: FlapBackoff) -> None:
    last = repair(fight, 1.0)
    assert not fight.is_over(last + RESET_AFTER)
    assert fight.delay(last + RESET_AFTER) > 0
    begin = last + RESET_AFTER + 1
    assert fight.is_over(begin)
    assert [repair(fight, begin + n) - begin - n for n in range(4)] == [0, 0, 0, COOL_DOWN]


def test_backoff_without_repairs_is_over() -> None:
    assert FlapBackoff().is_over(0.0)


@given(st.lists(st.floats(0, 1000), max_size=60))
def test_backoff_repair_rate_limited(pauses: list[float]) -> None:
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
