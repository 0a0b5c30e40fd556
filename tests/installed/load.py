"""Pods created at a steady rate, each as a dry run, with the result of every one.

A dry run does everything except storing the Pod, so a cluster can take any number of them.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from tests.e2e.cluster import Manifest
from tests.e2e.pods import IMAGE, PULL_SECRET, REWRITTEN, images, pod, pull_secrets
from webhook.errors import ClusterError
from webhook.kube.client import Client, Request

#: Pods a second.
RATE = 50.0
_THREADS = 12
#: The longest that an answer may take, seconds; the API server gives the webhook five.
_PATIENCE = 15.0


class Answer(NamedTuple):
    """What came of one Pod."""

    server: int
    """Which of the API servers was asked."""
    began: float
    """On the monotonic clock, as the next."""
    ended: float
    refused: str | None
    """Why it could not be made."""
    rewritten: bool
    """Whether it was made with the registry's image and the pull secret."""


class Taken(NamedTuple):
    """The answers of a stretch of time, in the order in which they came."""

    answers: tuple[Answer, ...]

    @property
    def refused(self) -> list[Answer]:
        """The Pods that could not be made."""
        return [answer for answer in self.answers if answer.refused is not None]

    @property
    def window(self) -> float:
        """Give the seconds from the first Pod that could not be made to the end of the last such answer."""
        refused = self.refused
        return max(answer.ended for answer in refused) - min(answer.began for answer in refused) if refused else 0.0

    def all_made(self) -> "Taken":
        """Fail unless every Pod could be made."""
        assert self.answers, "no Pod was made"
        faults = Counter(answer.refused for answer in self.refused)
        assert not faults, f"{faults.total()} of {len(self.answers)} Pods were refused: {dict(faults.most_common(5))}"
        return self

    def all_rewritten(self) -> "Taken":
        """Fail unless every Pod could be made, and was rewritten."""
        missed = sum(not answer.rewritten for answer in self.all_made().answers)
        assert not missed, f"{missed} of {len(self.answers)} Pods were made as they were written"
        return self

    def __str__(self) -> str:
        """Say how many there were, and how fast."""
        spent = max(answer.ended for answer in self.answers) - min(answer.began for answer in self.answers)
        slowest = max(answer.ended - answer.began for answer in self.answers)
        number = len(self.answers)
        return f"{number} Pods in {spent:.0f} s, {number / spent:.0f} a second, the slowest {slowest:.2f} s"


class Load:
    """Pods that go on being made."""

    def __init__(self, servers: Sequence[Client], namespace: str, rate: float) -> None:
        """Take the API servers, which take turns, the namespace, and the Pods a second."""
        self._servers = servers
        self._namespace = namespace
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._tickets = 0
        self._answers: list[Answer] = []
        self._began = 0.0

    def begin(self) -> list[threading.Thread]:
        """Start to make Pods."""
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._run, daemon=True) for _ in range(_THREADS)]
        for thread in threads:
            thread.start()
        return threads

    def end(self) -> None:
        """Have no further Pod made."""
        self._stop.set()

    def rewrites(self) -> bool:
        """Return whether each of the latest 20 Pods was rewritten."""
        latest = self._answers[-20:]
        return len(latest) == 20 and all(answer.rewritten for answer in latest)

    def so_far(self) -> int:
        """Count the answers, to ask later for what came after them."""
        return len(self._answers)

    def taken(self, since: int = 0) -> Taken:
        """Give the answers, or those that came after the first so many."""
        return Taken(tuple(self._answers[since:]))

    @contextmanager
    def around(self, seconds: float = 1.0) -> Iterator[int]:
        """Give how many answers there were before what is done within, and go on for so long after it."""
        before = self.so_far()
        yield before
        time.sleep(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                ticket = self._tickets
                self._tickets += 1
            if self._stop.wait(max(0.0, self._began + ticket * self._pause - time.monotonic())):
                return
            self._answers.append(self._make(ticket % len(self._servers)))

    def _make(self, server: int) -> Answer:
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        request = Request("make a Pod", "POST", path, (("dryRun", "All"),), pod("load", app=IMAGE), timeout=_PATIENCE)
        began = time.monotonic()
        try:
            made = json.loads(self._servers[server].call(request))
        except ClusterError as error:
            return Answer(server, began, time.monotonic(), str(error), rewritten=False)
        return Answer(server, began, time.monotonic(), None, rewritten=_is_rewritten(made))


def _is_rewritten(made: Manifest) -> bool:
    return images(made) == {"app": REWRITTEN} and pull_secrets(made) == [PULL_SECRET]


@contextmanager
def making_pods(servers: Sequence[Client], namespace: str, rate: float = RATE) -> Iterator[Load]:
    """Make Pods in a namespace, `rate` a second, until the end; what came of them is there to be asked after it too."""
    load = Load(servers, namespace, rate)
    threads = load.begin()
    try:
        yield load
    finally:
        load.end()
        for thread in threads:
            thread.join(timeout=2 * _PATIENCE)
