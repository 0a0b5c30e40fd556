"""The queries of alerts and dashboard, and the series that exist."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from webhook.admission.mutator import Mutator
from webhook.config.load import load
from webhook.refresher.runtime.metrics import Metrics as SidecarMetrics
from webhook.server.counters import ReviewCounters
from webhook.server.metrics import CloseReason, Metrics
from webhook.server.reloader import ServerState

from .manifest_variants import MANIFESTS
from .prometheus_text import families

MONITORING = MANIFESTS / "monitoring"
#: The API server's metrics for webhooks: https://kubernetes.io/docs/reference/instrumentation/metrics/.
APISERVER: dict[str, set[str]] = {
    "apiserver_admission_webhook_admission_duration_seconds_bucket": {"name", "operation", "rejected", "type", "le"},
    "apiserver_admission_webhook_fail_open_count": {"name", "type"},
    "apiserver_admission_webhook_rejection_count": {"name", "operation", "type", "error_type", "rejection_code"},
    "apiserver_admission_webhook_request_total": {"name", "operation", "type", "code", "rejected"},
}
#: Labels that Prometheus adds to each series of podmonitor.yaml's targets, and one that users with many clusters add.
SCRAPED = {"namespace", "pod", "container", "instance", "job", "cluster"}
_BY_NAME = re.compile(r'\{__name__=~"([^"]*)"[^{}]*\}')
_SELECTOR = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\{([^{}]*)\}|\b((?:registry_webhook|apiserver|process)_[a-z0-9_]*)")
_MATCHER = re.compile(r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


class Query(NamedTuple):
    """A query and its location."""

    where: str
    text: str

    def __str__(self) -> str:
        return self.where

    def metrics(self) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
        """Return its metrics, each with its matchers: label, operator, value."""
        for pattern in _BY_NAME.findall(self.text):
            yield from ((name, []) for name in there_is() if re.fullmatch(pattern, name))
        for found in _SELECTOR.finditer(_BY_NAME.sub("", self.text)):
            name, inside, bare = found.groups()
            yield name or bare, _MATCHER.findall(inside or "")

    def grouped(self) -> set[str]:
        """Return the labels that it groups by."""
        return {label.strip() for inside in _GROUPED.findall(self.text) for label in inside.split(",") if label.strip()}


def rules() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["spec"]["groups"]
    return groups


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in rules() for rule in group["rules"]}


def panels() -> list[dict[str, Any]]:
    """Return the dashboard's panels with queries."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found


def dashboard_queries(interval: str = "5m") -> list[Query]:
    """Return the queries of all panels with Grafana's variables replaced: `interval`, and all of each other one."""
    everything = {f"${one['name']}": one["allValue"] for one in dashboard()["templating"]["list"] if "allValue" in one}
    variables = {"$__rate_interval": interval, **everything}
    return [
        Query(f"{panel['title']} {target['refId']}", _replaced(target["expr"], variables))
        for panel in panels()
        for target in panel["targets"]
    ]


def _replaced(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\w+", lambda found: variables[found[0]], text)


def alert_queries() -> list[Query]:
    return [Query(name, rule["expr"]) for name, rule in alerts().items()]


class _Place:
    open = busy = buffered_bytes = 1


def server_exposition() -> str:
    """Return the metrics of a server that has answered requests."""
    loaded = load(b"", "config.yaml", {})
    tally = ReviewCounters()
    tally.rules["quay.io -> registry.example.com/quay"] = 1
    metrics = Metrics(lambda: ServerState(loaded, Mutator(loaded.configuration), "0123456789ab", 0), tally)
    for port in ("https", "health"):
        metrics.watch(port, _Place())
        for reason in CloseReason:
            metrics.on_close(port)(reason)
    return metrics.exposition().decode()


def sidecar_exposition() -> str:
    """Return the metrics of a refresher that has called the API server."""
    metrics = SidecarMetrics()
    metrics.configuration.info({"hash": "0123456789ab"})
    metrics.count_request("GET", "200")
    return metrics.exposition().decode()


@cache
def there_is() -> dict[str, dict[str, set[str]]]:
    """Return every existing series by name, with its label values; those of the API server's labels are unknown."""
    found: dict[str, dict[str, set[str]]] = {
        name: {label: set() for label in labels} for name, labels in APISERVER.items()
    }
    for text in (server_exposition(), sidecar_exposition()):
        for family in families(text):
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    labels.setdefault(label, set()).add(value)
    return found


def promtool_file(folder: Path, groups: list[dict[str, Any]]) -> Path:
    """Format rules as a Prometheus rule file."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}))
    return path
