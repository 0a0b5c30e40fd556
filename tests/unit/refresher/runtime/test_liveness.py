"""A stalled loop is reported, and one that fails by an internal error is restarted."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from tests.support.fakes import Clock
from webhook.refresher.runtime.liveness import Heartbeats
from webhook.refresher.runtime.metrics import Metrics
from webhook.refresher.runtime.thread_group import ThreadGroup


def test_heartbeats_stalled_loop_named_with_age() -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    assert beats.stalled() == []
    beats.expect("watch", 10)
    beats.expect("lease", 60)
    for _ in range(30):
        clock.now += 9
        beats.beat("watch")
        beats.beat("lease")
        assert beats.stalled() == []
    clock.now += 10
    assert beats.stalled() == []
    clock.now += 1
    assert beats.stalled() == ["watch (11 s)"]
    clock.now += 50
    assert beats.stalled() == ["watch (61 s)", "lease (61 s)"]
    beats.beat("watch")
    assert beats.stalled() == ["lease (61 s)"]


def test_heartbeats_forgotten_loop_not_stalled() -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    beats.expect("watch", 10)
    beats.forget(["watch"])
    clock.now += 100
    assert beats.stalled() == []
    beats.beat("watch")  # the last that came of it
    assert beats.stalled() == []


def test_thread_group_failed_loop_restarted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    threads = ThreadGroup(Heartbeats(time.monotonic), metrics, time.monotonic)
    again = threading.Event()
    runs: list[bool] = []

    def loop(stop: threading.Event, beat: Callable[[], None]) -> None:
        beat()
        runs.append(stop.is_set())
        if len(runs) == 1:
            raise RuntimeError("kept-secret")
        again.set()
        stop.wait(20)

    with caplog.at_level(logging.DEBUG):
        threads.start("fragile", 60, loop)
        assert again.wait(20)
        threads.stop.set()
        threads.join(20)
    assert runs == [False, False]
    (record,) = caplog.records
    assert (
        'loop failed, restarting loop=fragile error="RuntimeError at webhook.refresher.runtime.thread_group:'
        in caplog.text
    )
    assert record.exc_info is None
    assert "kept-secret" not in caplog.text
    assert b"registry_webhook_refresher_loop_restarts_total 1.0" in metrics.exposition()


def test_thread_group_hanging_loop_stalled() -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    threads = ThreadGroup(beats, Metrics(), clock)
    begun = threading.Event()

    def loop(stop: threading.Event, beat: Callable[[], None]) -> None:
        beat()
        begun.set()
        stop.wait(20)

    threads.start("credentials", 900, loop)
    assert begun.wait(20)
    clock.now += 900
    assert beats.stalled() == []
    clock.now += 1
    assert beats.stalled() == ["credentials (901 s)"]
    threads.stop.set()
    threads.join(20)
