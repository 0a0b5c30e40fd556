"""The refresher's metrics. https://prometheus.io/docs/practices/naming/."""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from webhook import build_info, log

_PREFIX = "registry_webhook_refresher"
_LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)


class Metrics:
    """The refresher's metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # no query uses them
        registry = self._registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=registry)

        def kinds(name: str, text: str, label: str, *known: str) -> Counter:
            """Create a counter with every known series at 0, so that `rate()` sees the first increment."""
            result = counter(name, text, label)
            for value in known:
                result.labels(value)
            return result

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, labels, registry=registry)

        build = Info(
            "registry_webhook_build",
            "Version and revision of registry-webhook; the value is always 1.",
            registry=registry,
        )
        build.info(build_info.current()._asdict())
        self.configuration = Info(
            f"{_PREFIX}_configuration",
            "Current configuration, by the hash of its effective settings; the value is always 1.",
            registry=registry,
        )
        self.leading = gauge("leading", "Whether this replica holds the Lease, and so writes: 1 or 0.")
        self.reloaded = gauge(
            "configuration_last_reload_successful",
            "Whether the last reload of the configuration succeeded: 1 or 0. After a failure the previous one is used.",
        )
        outcomes = ("published", "provider", "registry", "refused", "cluster", "none")
        self.refreshes = kinds(
            "refreshes", f"Refreshes of the credential, by outcome: {', '.join(outcomes)}.", "outcome", *outcomes
        )
        self.provider_failures = kinds(
            "provider_failures",
            "Failures of the credential provider, by kind: no credential, or an invalid one.",
            "kind",
            "none",
            "invalid",
        )
        self.registry_checks = kinds(
            "registry_checks",
            "Credential checks with the registry, by result; unclear: the response proved nothing, or there was none.",
            "result",
            "accepted",
            "refused",
            "unclear",
        )
        self.refused = gauge(
            "credential_refused", "Whether the registry refused the credential at the last check: 1 or 0."
        )
        self.expiry = gauge(
            "credential_expiry_timestamp_seconds",
            "Expiry of the published credential, in seconds since 1970; +Inf if unknown.",
        )
        self.refreshed = gauge(
            "credential_refreshed_timestamp_seconds",
            "Time at which the provider last returned the published credential, in seconds since 1970.",
        )
        self.refresh_interval = gauge(
            "credential_refresh_interval_seconds",
            "Longest time between two refreshes of the credential, in seconds: `token_ttl`.",
        )
        self.selected = gauge("namespaces_selected", "Selected namespaces.")
        self.failing = gauge("namespaces_failing", "Namespaces whose pull secret could not be written.")
        self.foreign = gauge(
            "namespaces_foreign_secret", "Selected namespaces with an unmanaged Secret of the same name."
        )
        self.contended = gauge(
            "namespaces_contended", "Namespaces where another client keeps changing the pull secret."
        )
        self.foreign_conflicts = counter(
            "foreign_conflicts", "Unmanaged Secrets found under the name of the pull secret."
        )
        self.writes = kinds("writes", "Pull secrets written, by operation.", "operation", "create", "update", "delete")
        self.write_failures = kinds(
            "write_failures",
            "Failed writes of pull secrets, by kind.",
            "kind",
            "conflict",
            "forbidden",
            "invalid",
            "other",
            "unreachable",
        )
        self.repairs = counter("repairs", "Pull secrets restored after another client changed or deleted them.")
        self.latency = Histogram(
            f"{_PREFIX}_label_to_secret_seconds",
            "Time from a namespace being selected to its pull secret, in seconds.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.requests = counter(
            "api_requests",
            "Requests to the API server, by method and HTTP status; none if there was no response.",
            "method",
            "status",
        )
        self.certificate_expiry = gauge(
            "certificate_expiry_timestamp_seconds",
            "Expiry of the certificate issued to the webhook, in seconds since 1970; +Inf if there is none.",
        )
        self.certificate_renewals = counter("certificate_renewals", "Renewals of the serving certificate or a CA.")
        self.ca_bundle_repairs = counter(
            "ca_bundle_repairs", "Repairs of the webhook configuration after another client changed it."
        )
        self.watch_restarts = kinds(
            "watch_restarts",
            "Watches that were interrupted or expired, by resource.",
            "resource",
            "namespaces",
            "secrets",
        )
        self.loop_restarts = counter("loop_restarts", "Loops restarted after an internal error.")
        self.expiry.set(float("inf"))
        self.certificate_expiry.set(float("inf"))
        registry.register(_Log())
        ProcessCollector(registry=registry)

    def count_request(self, method: str, status: str) -> None:
        self.requests.labels(method, status).inc()

    def exposition(self) -> bytes:
        """Return the text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""
        return generate_latest(self._registry)


class _Log(Collector):
    """Dropped log lines."""

    def collect(self) -> Iterator[Metric]:
        text = "Log lines dropped because stderr was blocked."
        yield CounterMetricFamily(f"{_PREFIX}_log_lines_dropped", text, value=log.dropped_lines())
