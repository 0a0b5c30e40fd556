"""The log of refused requests."""

import logging

import pytest

from webhook.server.refusals import INTERVAL, Refusal, RefusalLog, Refused


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_refusals_logged_once_an_interval_with_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    clock = Clock()
    refusals = RefusalLog(clock)

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    def refuse(number: int, reason: Refusal, client: str = "192.0.2.1") -> None:
        for _ in range(number):
            refusals.add(Refused(413, reason, client, 'too \n"large"'))

    refuse(1000, Refusal.TOO_LARGE)
    refuse(1, Refusal.OVERLOADED)
    first, second = lines()
    assert "status=413 reason=too-large count=1 last_client=192.0.2.1" in first
    assert first.isprintable()
    assert "reason=overloaded count=1 " in second
    clock.now += INTERVAL / 2
    refuse(1, Refusal.TOO_LARGE, "192.0.2.2")
    refusals.flush()
    assert lines() == []
    clock.now += INTERVAL / 2
    refusals.flush()
    (line,) = lines()
    assert "reason=too-large count=1000 last_client=192.0.2.2" in line
    clock.now += INTERVAL
    refusals.flush()
    assert lines() == []
