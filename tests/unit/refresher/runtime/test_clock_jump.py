"""Grace periods after the wall clock was set, or may be set."""

import pytest

from tests.support.fakes import Clock
from webhook.refresher.runtime.clock_jump import STARTUP_GRACE, TOLERANCE, ClockJumpGuard

_LINGER = 86_400.0
_YEARS = 2 * 365 * 24 * 3600.0


def test_grace_steady_clock_zero() -> None:
    clock = Clock()
    steadiness = ClockJumpGuard(clock.clocks())
    for _ in range(100):
        clock.now += 3600
        clock.ahead += TOLERANCE  # by and by, as it is corrected while it runs
        assert steadiness.grace(_LINGER) == 0


@pytest.mark.parametrize("ahead", [_YEARS, -_YEARS, TOLERANCE + 1])
def test_grace_after_jump_whole_period(ahead: float) -> None:
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


def test_grace_after_start_limited() -> None:
    clock = Clock()
    steadiness = ClockJumpGuard(clock.clocks())
    assert steadiness.grace(_LINGER) == 0
    steadiness.start()
    assert steadiness.grace(_LINGER) == STARTUP_GRACE
    assert steadiness.grace(5.0) == 5
    clock.now += STARTUP_GRACE
    assert steadiness.grace(_LINGER) == 0
