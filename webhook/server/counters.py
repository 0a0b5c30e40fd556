"""What is counted of every review, in plain numbers.

A review takes some 40 microseconds, and each step of prometheus_client's own counters and histograms one or two. All of
this together takes about one, and is made into metrics when somebody asks for them.
"""

from bisect import bisect_left
from itertools import accumulate
from math import inf
from threading import Lock

from webhook.admission.decision import Outcome, ReviewResult
from webhook.images.resolver import Reason
from webhook.server.refusals import STATUSES, RefusalLog, Refused

#: What else might be asked counts as this: what a client sends may not make series.
OTHER = "other"
_OPERATIONS = ("CREATE", "UPDATE")
#: Rules that are counted each for itself. A configuration may have 10,000, and another one after its next change.
_MAX_RULES = 256
#: Seconds: a decision that is known, one that is made, one on a large body; and what must never be.
_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1)
_BYTES = (1024, 2048, 4096, 8192, 16384, 65536, 262144, 1048576, 8388608, 33554432)


class Histogram:
    """How many values there were up to each of some bounds."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Begin with no value; the bounds ascend."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """All values together."""

    def add(self, value: float) -> None:
        """Take a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[float, int]]:
        """Give each bound, infinity last, with how many values were no greater."""
        return list(zip((*self._bounds, inf), accumulate(self._counts), strict=True))


class ReviewCounters:
    """The counts of one process."""

    def __init__(self) -> None:
        """Begin at zero, for everything that is known beforehand: only what was there can be seen to grow."""
        outcomes = [outcome.value for outcome in Outcome]
        self.reviews = {operation: dict.fromkeys(outcomes, 0) for operation in (*_OPERATIONS, OTHER)}
        """Reviews that were answered, by operation and outcome."""
        self.refused = {(status, reason): 0 for reason, statuses in STATUSES.items() for status in statuses}
        """Requests that were refused, by the status that they were answered with, and why."""
        self.images = {reason.value: 0 for reason in Reason}
        """Images that were looked at, by why they became what they did."""
        self.rules: dict[str, int] = {}
        """Images that a rule rewrote, by rule."""
        self.seconds = Histogram(_SECONDS)
        self.sizes = Histogram(_BYTES)
        self.refusals = RefusalLog()
        # Large reviews are answered in other threads.
        self._lock = Lock()

    def count(self, result: ReviewResult, size: int, seconds: float) -> None:
        """Count a review of so many bytes that was answered in so many seconds."""
        outcome, images = result.decision.counts
        operation = result.review.request.operation
        with self._lock:
            self.reviews[operation if operation in _OPERATIONS else OTHER][outcome] += 1
            for reason, rule, number in images:
                self.images[reason] += number
                if rule is not None:
                    self._count_rule(rule, number)
            self.seconds.add(seconds)
            self.sizes.add(size)

    def refuse(self, refused: Refused) -> None:
        """Count a request that was refused, and have it logged."""
        with self._lock:
            self.refused[refused.status, refused.reason] += 1
        self.refusals.add(refused)

    def _count_rule(self, rule: str, number: int) -> None:
        if rule not in self.rules and len(self.rules) >= _MAX_RULES:
            rule = OTHER
        self.rules[rule] = self.rules.get(rule, 0) + number
