"""The time of the next refresh: a table, and properties for all settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.pull_secret.schedule import Schedule
from webhook.settings import RegistrySettings


def scheduled(period: int = 1800, attempts: int = 3, delay: int = 5) -> Schedule:
    return Schedule(RegistrySettings(token_ttl=period, retry_attempts=attempts, retry_delay=delay))


_DEFAULT = scheduled()


@pytest.mark.parametrize(
    ("life", "dice", "wait"),
    [
        (None, 0.0, 1440.0),
        (None, 0.5, 1368.0),
        (None, 0.999999, 1296.0),
        (3600.0, 0.0, 1440.0),  # token_ttl is shorter
        (900.0, 0.0, 720.0),
        (900.0, 0.5, 684.0),
        (30.0, 0.0, 24.0),
        (12.5, 0.0, 10.0),
        (12.0, 0.999999, 10.0),
        (1.0, 0.0, 10.0),
        (0.0, 0.0, 10.0),
        (-3600.0, 0.5, 10.0),  # one that has expired already makes no hot loop
        (float("inf"), 0.0, 1440.0),
    ],
)
def test_after_success_80_percent_of_lifetime(life: float | None, dice: float, wait: float) -> None:
    assert _DEFAULT.after_success(life, dice) == pytest.approx(wait, rel=1e-4)


def waits(schedule: Schedule, *, refused: bool = False, count: int = 10) -> list[float]:
    return [schedule.after_failure(n, refused=refused, retry_after=None, jitter=0.0) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("schedule", "refused", "expected"),
    [
        # Three tries in all are two quick ones after the first.
        (_DEFAULT, False, [5, 5, 10, 20, 40, 80, 160, 300, 300, 300]),
        # A refused credential is not tried again before token_ttl.
        (_DEFAULT, True, [1800] * 10),
        (scheduled(attempts=1), False, [10, 20, 40, 80, 160, 300, 300, 300, 300, 300]),
        (scheduled(attempts=5, delay=0), False, [0, 0, 0, 0, 10, 20, 40, 80, 160, 300]),
        (scheduled(delay=60), False, [60, 60, 60, 120, 240, 300, 300, 300, 300, 300]),
        (scheduled(delay=60), True, [1800] * 10),
        # Never more seldom than when all is well.
        (scheduled(period=60), False, [5, 5, 10, 20, 40, 60, 60, 60, 60, 60]),
        (scheduled(period=10), True, [10] * 10),
    ],
)
def test_after_failure_quick_retries_then_backoff(schedule: Schedule, refused: bool, expected: list[float]) -> None:
    assert waits(schedule, refused=refused) == expected


@pytest.mark.parametrize(
    ("failures", "refused", "retry_after", "wait"),
    [
        (1, False, 60.0, 60.0),
        (1, False, 1.0, 5.0),  # sooner than we would have come anyway
        (1, True, 60.0, 1800.0),
        (5, False, 20.0, 40.0),
        (1, False, 86_400.0, 1800.0),  # no server puts us off for longer than a period
        (1, True, 86_400.0, 1800.0),
        (1, False, float("inf"), 1800.0),
        (1, False, 0.0, 5.0),
        (1, False, -5.0, 5.0),
    ],
)
def test_after_failure_retry_after_limited_to_period(
    failures: int, refused: bool, retry_after: float, wait: float
) -> None:
    assert _DEFAULT.after_failure(failures, refused=refused, retry_after=retry_after, jitter=0.0) == wait


@pytest.mark.parametrize("refused", [True, False])
def test_schedule_unwatched_provider_refresh_after_honored(refused: bool) -> None:
    waits = [
        _DEFAULT.after_failure(1, refused=True, retry_after=None, jitter=dice, refresh_after=120.0)
        if refused
        else _DEFAULT.after_success(None, dice, 120.0)
        for dice in (0.0, 0.999999)
    ]
    assert waits == pytest.approx([96.0, 86.4], rel=1e-4)


_DICE = st.floats(0, 1, exclude_max=True)
# What the configuration can say.
_SCHEDULES = st.builds(
    scheduled,
    period=st.integers(10, 2_592_000),
    attempts=st.integers(1, 100),
    delay=st.integers(0, 3600),
)
_LIVES = st.none() | st.floats(-1e9, 1e9)
_FAILURES = st.integers(1, 10**9)
_ASKED = st.none() | st.floats(0, 1e12)


@given(_SCHEDULES, _LIVES, _DICE)
def test_after_success_within_minimum_and_period(schedule: Schedule, life: float | None, dice: float) -> None:
    wait = schedule.after_success(life, dice)
    assert 10 <= wait <= max(10, 0.8 * schedule.period)
    if life is not None and life > 20:
        assert wait < life


@given(_SCHEDULES, _FAILURES, st.booleans(), _ASKED, _DICE)
def test_after_failure_within_minimum_and_maximum(
    schedule: Schedule, failures: int, refused: bool, asked: float | None, dice: float
) -> None:
    wait = schedule.after_failure(failures, refused=refused, retry_after=asked, jitter=dice)
    quick = not refused and failures < schedule.settings.retry_attempts
    assert wait >= (schedule.settings.retry_delay if quick else 10)
    assert wait <= max(schedule.period, schedule.settings.retry_delay if quick else 300)
    if asked is not None:
        assert wait >= min(asked, schedule.period)


@given(_SCHEDULES, st.integers(1, 200), st.booleans())
def test_after_failure_delay_never_decreases(schedule: Schedule, failures: int, refused: bool) -> None:
    if schedule.settings.retry_delay > min(300, schedule.period):
        return  # quick tries that are slower than the slow ones are what was asked for
    one, next_one = (
        schedule.after_failure(n, refused=refused, retry_after=None, jitter=0.0) for n in (failures, failures + 1)
    )
    assert next_one >= one


@given(_SCHEDULES, _FAILURES, st.booleans(), _DICE)
def test_jitter_at_most_ten_percent(schedule: Schedule, failures: int, refused: bool, dice: float) -> None:
    most = schedule.after_failure(failures, refused=refused, retry_after=None, jitter=0.0)
    assert 0.9 * most <= schedule.after_failure(failures, refused=refused, retry_after=None, jitter=dice) <= most
    assert 0.9 * schedule.after_success(None, 0.0) <= schedule.after_success(None, dice)


@given(_SCHEDULES, _FAILURES)
def test_after_failure_refused_no_quick_retry(schedule: Schedule, failures: int) -> None:
    assert schedule.after_failure(failures, refused=True, retry_after=None, jitter=0.5) >= 10
