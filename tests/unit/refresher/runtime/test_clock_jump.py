"""Grace periods after the wall clock was set, or may be set."""

import pytest

from tests.support.fakes import Clock
from webhook.refresher.runtime.clock_jump import STARTUP_GRACE, TOLERANCE, ClockJumpGuard

_LINGER = 86_400.0
_YEARS = 2 * 365 * 24 * 3600.0


def test_a_clock_that_goes_along_is_believed() -> None:
    clock = Clock()
    steadiness = ClockJumpGuard(clock.clocks())
    for _ in range(100):
        clock.now += 3600
        clock.ahead += TOLERANCE  # by and by, as it is corrected while it runs
        assert steadiness.grace(_LINGER) == 0


@pytest.mark.parametrize("ahead", [_YEARS, -_YEARS, TOLERANCE + 1])
def test_from_when_the_clock_was_seen_to_be_set_the_whole_time_is_waited(ahead: float) -> None:
    clock = Clock()
    steadiness = ClockJumpGuard(clock.clocks())
    clock.now += 1_000_000
    clock.ahead = ahead
    assert steadiness.grace(_LINGER) == _LINGER
    clock.now += _LINGER - 1
    assert steadiness.grace(_LINGER) == 1
    clock.now += 1
    assert steadiness.grace(_LINGER) == 0
    # And again when it is set back.
    clock.ahead = 0.0
    assert steadiness.grace(_LINGER) == _LINGER


def test_who_begins_waits_a_little_for_the_clock_to_be_set_and_no_longer_than_the_time_itself() -> None:
    clock = Clock()
    steadiness = ClockJumpGuard(clock.clocks())
    assert steadiness.grace(_LINGER) == 0
    steadiness.start()
    assert steadiness.grace(_LINGER) == STARTUP_GRACE
    assert steadiness.grace(5.0) == 5
    clock.now += STARTUP_GRACE
    assert steadiness.grace(_LINGER) == 0
