"""Counters of reviews, as plain numbers that become metrics when they are scraped.

Counting a review takes 0.7 µs, and with the counters and histograms of prometheus_client 6 µs: see
docs/decisions/0010-parts-for-speed.md.
"""

from bisect import bisect_left
from itertools import accumulate
from math import inf
from threading import Lock

from webhook.admission.decision import Outcome, ReviewResult
from webhook.images.resolver import Reason
from webhook.server.refusals import STATUSES, RefusalLog, Refused

#: Unknown operations and further rules share one label value, to limit cardinality.
OTHER = "other"
_OPERATIONS = ("CREATE", "UPDATE")
#: Maximum rules with a label value of their own. A configuration may have 10,000, and different ones after each reload.
_MAX_RULES = 256
#: Buckets for a cached decision, a new one, one on a large body, and durations that must never occur.
_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.25, 1)
_BYTES = (1024, 2048, 4096, 8192, 16384, 65536, 262144, 1048576, 8388608, 33554432)


class Histogram:
    """Counts values by buckets. The bounds are upper bounds, ascending."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[float, int]]:
        """Return each bound, infinity last, with the number of values up to it."""
        return list(zip((*self._bounds, inf), accumulate(self._counts), strict=True))


class ReviewCounters:
    """The counters of one process.

    Every known series begins at 0, so that `rate()` sees the first increment.
    """

    def __init__(self) -> None:
        outcomes = [outcome.value for outcome in Outcome]
        self.reviews = {operation: dict.fromkeys(outcomes, 0) for operation in (*_OPERATIONS, OTHER)}
        """Answered reviews, by operation and outcome."""
        self.refused = {(status, reason): 0 for reason, statuses in STATUSES.items() for status in statuses}
        """Refused requests, by HTTP status and reason."""
        self.images = {reason.value: 0 for reason in Reason}
        """Examined images, by the reason for what they resolved to."""
        self.rules: dict[str, int] = {}
        """Rewritten images, by rule."""
        self.seconds = Histogram(_SECONDS)
        self.sizes = Histogram(_BYTES)
        self.refusals = RefusalLog()
        # Large reviews are answered in other threads.
        self._lock = Lock()

    def count(self, result: ReviewResult, size: int, seconds: float) -> None:
        """Count a review with a body of `size` bytes that was answered in `seconds`."""
        decision, operation = result.decision, result.review.request.operation
        with self._lock:
            self.reviews[operation if operation in _OPERATIONS else OTHER][decision.outcome] += 1
            for image in decision.images:
                self.images[image.resolution.reason] += 1
                if image.resolution.rule is not None:
                    self._count_rule(image.resolution.rule)
            self.seconds.add(seconds)
            self.sizes.add(size)

    def refuse(self, refused: Refused) -> None:
        """Count and log a refused request."""
        with self._lock:
            self.refused[refused.status, refused.reason] += 1
        self.refusals.add(refused)

    def _count_rule(self, rule: str) -> None:
        if rule not in self.rules and len(self.rules) >= _MAX_RULES:
            rule = OTHER
        self.rules[rule] = self.rules.get(rule, 0) + 1
