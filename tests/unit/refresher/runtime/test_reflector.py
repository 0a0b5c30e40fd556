"""The watch loop survives all kinds of outages, without busy loops and repeated messages."""

import logging
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from tests.support.fakes import Clock, Stop
from webhook.errors import Expired, Unreachable
from webhook.kube.api import Change, Listing, ListWatch
from webhook.pull_secret.reconcile import Namespace
from webhook.refresher.runtime.reflector import Reflector
from webhook.refresher.runtime.store import Store

Told = Callable[[], Iterator[Change[Namespace]]]

_BROKEN = Unreachable("cannot watch namespaces: it broke off")


class Scene:
    """A watch that does whatever a test wants, and takes a hundredth of a second for it."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.clock = Clock()
        self.opened: list[str] = []
        self.down_until = 0.0
        """When lists are answered again, after the first."""
        self.lists = self.returned = self.failed = 0
        self.store: Store[Namespace] = Store(lambda item: item.name, lambda _: None)
        self.display_name = "namespaces"
        self.loop: Reflector[Namespace] = Reflector(
            cast("ListWatch[Namespace]", self), self.store, self._has_returned, self._has_failed
        )

    def list(self) -> Listing[Namespace]:
        if self.lists and self.clock.now < self.down_until:
            raise _BROKEN
        self.lists += 1
        return Listing([], str(100 * self.lists))

    def watch(self, version: str) -> Iterator[Change[Namespace]]:
        assert len(self.opened) < 10_000, "a hot loop"
        self.opened.append(version)
        self.clock.now += 0.01
        return self.told()

    def run(self, seconds: float) -> None:
        self.loop.run(Stop(self.clock, seconds), lambda: None)

    def _has_returned(self) -> None:
        self.returned += 1

    def _has_failed(self) -> None:
        self.failed += 1


def breaks() -> Iterator[Change[Namespace]]:
    raise _BROKEN
    yield


def expires() -> Iterator[Change[Namespace]]:
    raise Expired("cannot watch namespaces: too old (410)")
    yield


def ends() -> Iterator[Change[Namespace]]:
    yield from ()


def tells_and_ends() -> Iterator[Change[Namespace]]:
    yield Change("500", None)


def tells_and_breaks() -> Iterator[Change[Namespace]]:
    yield Change("500", None)
    raise _BROKEN


@pytest.mark.parametrize(
    ("told", "most"),
    [(breaks, 130), (expires, 130), (ends, 2500), (tells_and_ends, 2500), (tells_and_breaks, 2500)],
)
def test_watch_never_hot_loop(told: Told, most: int) -> None:
    scene = Scene(told)
    scene.run(600)
    assert 100 < len(scene.opened) <= most


def test_watch_failing_immediately_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(breaks)
    with caplog.at_level(logging.INFO):
        scene.run(600)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert scene.failed == len(scene.opened)


def test_watch_resumes_from_last_version() -> None:
    scene = Scene(tells_and_ends)
    scene.run(1)
    assert scene.opened[:3] == ["100", "500", "500"]
    assert scene.lists == 1


def test_watch_expired_lists_again() -> None:
    scene = Scene(expires)
    scene.run(1)
    assert scene.opened[:3] == ["100", "200", "300"]
    assert scene.returned >= scene.lists


def test_watch_outage_end_logged_and_resynced(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(breaks)

    def over() -> Iterator[Change[Namespace]]:
        if scene.clock.now < 1060:
            raise _BROKEN
        yield Change("500", Namespace("team", 500, {}, terminating=False))

    scene.told, scene.down_until = over, 1060
    with caplog.at_level(logging.INFO):
        scene.run(70)
    assert [record.getMessage() for record in caplog.records] == [
        f'watch failed, retrying resource=namespaces error="{_BROKEN}"',
        "watch recovered resource=namespaces",
    ]
    assert scene.returned >= 2
    assert "team" in scene.store


def test_watch_expired_in_outage_lists_at_once() -> None:
    scene = Scene(tells_and_ends)
    scene.run(1)
    began: list[float] = []

    def back() -> Iterator[Change[Namespace]]:
        if scene.clock.now < 1001.6:
            raise _BROKEN
        began.append(scene.clock.now)
        if scene.opened[-1] == "500":
            raise Expired("cannot watch namespaces: too old (410)")
        yield Change("700", None)

    scene.told = back
    scene.run(10)
    assert began[1] - began[0] < 0.1
    assert scene.lists == 2


def test_watch_failing_repeatedly_lists_again() -> None:
    """After etcd was restored, a watch from a version that is yet to come is told nothing, and broken off."""
    scene = Scene(breaks)
    scene.run(30)
    assert scene.lists > 1
    assert set(scene.opened) == {str(100 * number) for number in range(1, scene.lists + 1)}


def test_watch_version_decreased_lists_again() -> None:
    scene = Scene(ends)

    def goes_back() -> Iterator[Change[Namespace]]:
        yield Change("500", None)
        yield Change("150", Namespace("team", 150, {}, terminating=False))

    scene.told = goes_back
    scene.run(1)
    assert scene.opened[:2] == ["100", "200"]
