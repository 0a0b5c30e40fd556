"""What the sidecar counts. https://prometheus.io/docs/practices/naming/."""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from webhook import log

_PREFIX = "registry_webhook_refresher"
_LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)


class Metrics:
    """The sidecar's metrics, in a registry of their own."""

    def __init__(self) -> None:
        """Begin at zero."""
        registry = self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        def kinds(name: str, text: str, label: str, *known: str) -> Counter:
            """Make a counter whose series are all there from the start: only what was there can be seen to grow."""
            made = counter(name, text, label)
            for value in known:
                made.labels(value)
            return made

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, labels, registry=registry)

        self.configuration = Info(
            f"{_PREFIX}_configuration",
            "Which configuration is in force: the hash of all in it that decides.",
            registry=registry,
        )
        self.leading = gauge("leading", "Whether this replica is the one that writes.")
        self.reloaded = gauge(
            "configuration_last_reload_successful",
            "Whether the configuration as it is now is the one in force: 0 while the last good one stays.",
        )
        outcomes = ("published", "provider", "registry", "refused", "cluster", "none")
        self.passes = kinds("passes", f"Passes by what came of them: {', '.join(outcomes)}.", "outcome", *outcomes)
        self.source_failures = kinds(
            "source_failures",
            "Times that the source gave no credential, or an invalid one that cannot be published.",
            "kind",
            "none",
            "invalid",
        )
        self.registry_answers = kinds(
            "registry_answers",
            "What the registry said of the credential; unclear: it could not be asked.",
            "answer",
            "accepted",
            "refused",
            "unclear",
        )
        self.refused = gauge("credential_refused", "Whether the registry refused the credential when last asked.")
        self.expiry = gauge("credential_expiry_timestamp_seconds", "When the published credential ends; +Inf: unknown.")
        self.refreshed = gauge(
            "credential_refreshed_timestamp_seconds", "When the source last gave the credential that is published."
        )
        self.served = gauge("namespaces_served", "Namespaces that are opted in and may be.")
        self.failing = gauge("namespaces_failing", "Namespaces whose pull secret cannot be written.")
        self.foreign = gauge("namespaces_foreign_secret", "Served namespaces where another Secret has the name.")
        self.contended = gauge("namespaces_contended", "Namespaces where somebody keeps changing our pull secret.")
        self.foreign_conflicts = counter("foreign_conflicts", "Times that another Secret was found to have the name.")
        self.writes = kinds("writes", "Pull secrets written.", "operation", "create", "update", "delete")
        self.write_failures = kinds(
            "write_failures",
            "Pull secrets that could not be written.",
            "kind",
            "conflict",
            "forbidden",
            "invalid",
            "other",
            "unreachable",
        )
        self.repairs = counter("repairs", "Pull secrets put back after somebody changed or deleted them.")
        self.latency = Histogram(
            f"{_PREFIX}_label_to_secret_seconds",
            "Time from a namespace seen to be served to its pull secret.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.requests = counter(
            "api_requests", "Requests to the API server; status none: no answer.", "method", "status"
        )
        self.certificate_expiry = gauge(
            "certificate_expiry_timestamp_seconds",
            "When the certificate ends that was handed to the webhook; +Inf: none.",
        )
        self.certificate_renewals = counter(
            "certificate_renewals", "Times that certificate or authorities were renewed."
        )
        self.ca_bundle_repairs = counter(
            "ca_bundle_repairs", "Times that the webhook configuration was put back after somebody changed it."
        )
        self.watch_restarts = kinds(
            "watch_restarts", "Watches that broke off or had to begin anew.", "resource", "namespaces", "secrets"
        )
        self.loop_restarts = counter("loop_restarts", "Loops that failed by a fault of our own and were started again.")
        self.expiry.set(float("inf"))
        self.certificate_expiry.set(float("inf"))
        registry.register(_Log())
        ProcessCollector(registry=registry)

    def count_request(self, method: str, status: str) -> None:
        """Count a request to the API server."""
        self.requests.labels(method, status).inc()

    def exposition(self) -> bytes:
        """Write them as text: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _Log(Collector):
    """What of the log is lost."""

    def collect(self) -> Iterator[Metric]:
        text = "Lines of the log that nobody took in time."
        yield CounterMetricFamily(f"{_PREFIX}_log_lines_lost", text, value=log.dropped_lines())
