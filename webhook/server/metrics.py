"""The server's metrics: https://prometheus.io/docs/practices/naming/.

Values that exist elsewhere are read when metrics are scraped, so requests do not pay for them.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from math import inf
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from webhook import build_info, log
from webhook.server.counters import Histogram, ReviewCounters
from webhook.server.refusals import Refusal
from webhook.server.reloader import ServerState

_PREFIX = "registry_webhook"


class CloseReason(StrEnum):
    """Why the server closed a connection."""

    TIMED_OUT = "timed-out"
    """Its handshake or request did not arrive in time, or its answer was not read."""
    IDLE = "idle"
    """It was idle for `KEEPALIVE_TIMEOUT`."""
    EVICTED = "evicted"
    """All slots were taken, and it was closed to admit another."""
    FULL = "full"
    """All slots were taken, and no other could be closed for it."""
    MEMORY = "memory"
    """The memory budget was exceeded, and it was the largest consumer."""
    HANDSHAKE = "handshake"
    """Its TLS handshake failed."""


class Connections(Protocol):
    """The connections of a port."""

    @property
    def open(self) -> int:
        """The number of connections."""

    @property
    def busy(self) -> int:
        """The number that are in a handshake, have sent a part of a request, or do not read their answer."""

    @property
    def buffered_bytes(self) -> int:
        """The bytes that they hold."""


class Metrics:
    """The server's metrics, in a registry of their own."""

    def __init__(self, now: Callable[[], ServerState], counters: ReviewCounters) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # no query uses them
        self._registry = CollectorRegistry()
        self._closed = Counter(
            f"{_PREFIX}_connections_closed",
            f"Connections closed by the server, by port and reason: {', '.join(CloseReason)}.",
            ["port", "reason"],
            registry=self._registry,
        )
        self._open = Gauge(f"{_PREFIX}_connections", "Open connections, by port.", ["port"], registry=self._registry)
        self._busy = Gauge(
            f"{_PREFIX}_requests_in_flight",
            "Connections with a handshake, an incomplete request or an unread response, by port.",
            ["port"],
            registry=self._registry,
        )
        self._held = Gauge(
            f"{_PREFIX}_buffered_bytes",
            "Bytes buffered for incomplete requests and unread responses, by port.",
            ["port"],
            registry=self._registry,
        )
        self._registry.register(_Reviews(counters))
        self._registry.register(_StateCollector(now))
        ProcessCollector(registry=self._registry)

    def on_close(self, port: str) -> Callable[[CloseReason], None]:
        """Return a function that counts a closed connection of a port."""
        counters = {reason: self._closed.labels(port, reason) for reason in CloseReason}
        return lambda reason: counters[reason].inc()

    def watch(self, port: str, connections: Connections) -> None:
        """Export the connections of a port."""
        self._open.labels(port).set_function(lambda: connections.open)
        self._busy.labels(port).set_function(lambda: connections.busy)
        self._held.labels(port).set_function(lambda: connections.buffered_bytes)

    def exposition(self) -> bytes:
        """Return the text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _Reviews(Collector):
    """Exports the counters of reviews."""

    def __init__(self, counters: ReviewCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        counters = self._counters
        reviews = [
            ((operation, outcome), count)
            for operation, outcomes in counters.reviews.items()
            for outcome, count in outcomes.items()
        ]
        yield _counter("reviews", "Admission reviews, by operation and outcome.", ("operation", "outcome"), reviews)
        refused = [((str(status), reason), count) for (status, reason), count in counters.refused.items()]
        text = f"Refused requests, by HTTP status and reason: {', '.join(Refusal)}."
        yield _counter("refused_reviews", text, ("status", "reason"), refused)
        images = [((reason,), count) for reason, count in counters.images.items()]
        yield _counter("images", "Images processed, by the reason for their resolution.", ("reason",), images)
        # A copy: other threads add rules.
        rules = [((rule,), count) for rule, count in counters.rules.copy().items()]
        yield _counter(
            "rule_images", "Images rewritten, by rule; rules after the first 256 share one series.", ("rule",), rules
        )
        yield _histogram(
            "review_duration_seconds", "Time from a complete request to its response, in seconds.", counters.seconds
        )
        yield _histogram("review_size_bytes", "Size of review bodies, in bytes.", counters.sizes)


class _StateCollector(Collector):
    """Exports the current state of the configuration, the certificate and the log."""

    def __init__(self, now: Callable[[], ServerState]) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        now = self._now()
        yield InfoMetricFamily(
            f"{_PREFIX}_build",
            "Version and revision of registry-webhook; the value is always 1.",
            value=build_info.current()._asdict(),
        )
        yield InfoMetricFamily(
            f"{_PREFIX}_configuration",
            "Current configuration, by the hash of its effective settings; the value is always 1.",
            value={"hash": now.configuration_hash},
        )
        for part, error, since in (
            ("configuration", now.configuration_error, now.configuration_since),
            ("certificate", now.certificate_error, now.certificate_since),
        ):
            yield GaugeMetricFamily(
                f"{_PREFIX}_{part}_last_reload_successful",
                f"Whether the last reload of the {part} succeeded: 1 or 0. After a failure the previous one is used.",
                value=error is None,
            )
            yield GaugeMetricFamily(
                f"{_PREFIX}_{part}_last_reload_success_timestamp_seconds",
                f"Time of the last successful reload of the {part}, in seconds since 1970; 0 before the first.",
                value=since,
            )
        validity = now.certificate_validity
        yield GaugeMetricFamily(
            f"{_PREFIX}_client_ca_last_reload_successful",
            "Whether the last reload of the client CAs succeeded: 1 or 0; always 1 without mutual TLS.",
            value=now.client_ca_error is None,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_certificate_not_before_timestamp_seconds",
            "Time from which the certificate being served is valid; 0: none, or unknown.",
            value=validity.begins if validity else 0,
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_certificate_expiry_timestamp_seconds",
            "Expiry of the certificate being served; +Inf: none, or unknown.",
            value=validity.ends if validity else inf,
        )
        yield CounterMetricFamily(
            f"{_PREFIX}_log_lines_dropped", "Log lines dropped because stderr was blocked.", value=log.dropped_lines()
        )


def _counter(name: str, text: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], int]]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
    for values, count in counts:
        family.add_metric(values, count)
    return family


def _histogram(name: str, text: str, values: Histogram) -> Metric:
    buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in values.cumulative()]
    return HistogramMetricFamily(f"{_PREFIX}_{name}", text, buckets=buckets, sum_value=values.total)
