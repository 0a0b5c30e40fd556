"""What the server says of itself to Prometheus. https://prometheus.io/docs/practices/naming/.

What stands somewhere already is read when it is asked for, so that it costs a request nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from math import inf
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from webhook import log
from webhook.server.counters import Histogram, ReviewCounters
from webhook.server.refusals import Refusal
from webhook.server.reloader import ServerState

_PREFIX = "registry_webhook"


class CloseReason(StrEnum):
    """Why the server closed a connection, where it was not the client that did."""

    TIMED_OUT = "timed-out"
    """Its handshake or request did not arrive in time, or its answer was not read."""
    IDLE = "idle"
    """No further request came for long."""
    EVICTED = "evicted"
    """All places were taken, and it had been slow for longest."""
    FULL = "full"
    """All places were taken, and nobody was slow."""
    MEMORY = "memory"
    """Too much was under way, and it had most of it."""
    HANDSHAKE = "handshake"
    """It did not speak TLS, or none that is spoken here."""


class Connections(Protocol):
    """Who knows the connections of a port."""

    @property
    def open(self) -> int:
        """How many there are."""

    @property
    def busy(self) -> int:
        """How many of them have something under way: a handshake, a part of a request, an answer that is not read."""

    @property
    def buffered_bytes(self) -> int:
        """The bytes that they hold."""


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self, now: Callable[[], ServerState], counters: ReviewCounters) -> None:
        """Begin at zero; `now` gives what is in force, and `counters` is what is counted of reviews."""
        self._registry = CollectorRegistry()
        self._closed = Counter(
            f"{_PREFIX}_connections_closed",
            f"Connections that the server closed, by why: {', '.join(CloseReason)}.",
            ["port", "reason"],
            registry=self._registry,
        )
        self._open = Gauge(f"{_PREFIX}_connections", "Connections that are open.", ["port"], registry=self._registry)
        self._busy = Gauge(
            f"{_PREFIX}_requests_in_flight",
            "Connections with something under way: a handshake, a request that has not come whole, an answer unread.",
            ["port"],
            registry=self._registry,
        )
        self._held = Gauge(
            f"{_PREFIX}_held_bytes",
            "Bytes of requests that have not come whole and of answers that are not read.",
            ["port"],
            registry=self._registry,
        )
        self._registry.register(_Reviews(counters))
        self._registry.register(_StateCollector(now))
        ProcessCollector(registry=self._registry)

    def closed(self, port: str) -> Callable[[CloseReason], None]:
        """Give what counts the connections of a port that are closed."""
        counters = {reason: self._closed.labels(port, reason) for reason in CloseReason}
        return lambda reason: counters[reason].inc()

    def watch(self, port: str, connections: Connections) -> None:
        """Have the connections of a port asked for when metrics are."""
        self._open.labels(port).set_function(lambda: connections.open)
        self._busy.labels(port).set_function(lambda: connections.busy)
        self._held.labels(port).set_function(lambda: connections.buffered_bytes)

    def exposition(self) -> bytes:
        """Write them as text: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _Reviews(Collector):
    """What was counted of reviews."""

    def __init__(self, counters: ReviewCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        tally = self._counters
        reviews = [
            ((operation, outcome), count)
            for operation, outcomes in tally.reviews.items()
            for outcome, count in outcomes.items()
        ]
        yield _counter("reviews", "Reviews that were answered.", ("operation", "outcome"), reviews)
        refused = [((str(status), reason), count) for (status, reason), count in tally.refused.items()]
        text = f"Requests that were refused, by HTTP status and reason: {', '.join(Refusal)}."
        yield _counter("refused_reviews", text, ("status", "reason"), refused)
        images = [((reason,), count) for reason, count in tally.images.items()]
        yield _counter("images", "Images looked at, by why they became what they did.", ("reason",), images)
        # A copy, for other threads add rules.
        rules = [((rule,), count) for rule, count in tally.rules.copy().items()]
        yield _counter("rule_images", "Images rewritten by each rule; the first 256 are told apart.", ("rule",), rules)
        yield _histogram("review_duration_seconds", "Time from a whole request to its answer.", tally.seconds)
        yield _histogram("review_size_bytes", "Length of the bodies of reviews.", tally.sizes)


class _StateCollector(Collector):
    """What is in force, and what of the log is lost."""

    def __init__(self, now: Callable[[], ServerState]) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        now = self._now()
        yield InfoMetricFamily(
            f"{_PREFIX}_configuration",
            "Which configuration is in force: the hash of all in it that decides.",
            value={"hash": now.configuration_hash},
        )
        for part, fault, since in (
            ("configuration", now.configuration_error, now.configuration_since),
            ("certificate", now.certificate_error, now.certificate_since),
        ):
            yield GaugeMetricFamily(
                f"{_PREFIX}_{part}_last_reload_successful",
                f"Whether the {part} as it is now is the one in force: 0 while the last good one stays.",
                value=fault is None,
            )
            yield GaugeMetricFamily(
                f"{_PREFIX}_{part}_last_reload_success_timestamp_seconds",
                f"When the {part} in force was read; 0: there is none yet.",
                value=since,
            )
        yield GaugeMetricFamily(
            f"{_PREFIX}_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends; +Inf: there is none, or it cannot be told.",
            value=now.certificate_validity.ends if now.certificate_validity else inf,
        )
        yield CounterMetricFamily(
            f"{_PREFIX}_log_lines_lost", "Lines of the log that nobody took in time.", value=log.dropped_lines()
        )


def _counter(name: str, text: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, values: Histogram) -> Metric:
    buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in values.cumulative()]
    return HistogramMetricFamily(f"{_PREFIX}_{name}", text, buckets=buckets, sum_value=values.total)
